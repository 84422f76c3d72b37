/// What an admin command asks for.
///
/// Source: NVMe 1.4, figure 139.
@frozen
public struct AdminOpcode: RawRepresentable, Hashable, Sendable {
  /// The opcode byte.
  public let rawValue: UInt8

  /// The opcode with this byte.
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Delete I/O Submission Queue.
  public static let deleteSubmissionQueue = AdminOpcode(rawValue: 0x00)
  /// Create I/O Submission Queue.
  public static let createSubmissionQueue = AdminOpcode(rawValue: 0x01)
  /// Get Log Page.
  public static let getLogPage = AdminOpcode(rawValue: 0x02)
  /// Delete I/O Completion Queue.
  public static let deleteCompletionQueue = AdminOpcode(rawValue: 0x04)
  /// Create I/O Completion Queue.
  public static let createCompletionQueue = AdminOpcode(rawValue: 0x05)
  /// Identify.
  public static let identify = AdminOpcode(rawValue: 0x06)
  /// Abort.
  public static let abort = AdminOpcode(rawValue: 0x08)
  /// Set Features.
  public static let setFeatures = AdminOpcode(rawValue: 0x09)
  /// Get Features.
  public static let getFeatures = AdminOpcode(rawValue: 0x0a)
  /// Asynchronous Event Request.
  public static let asynchronousEventRequest = AdminOpcode(rawValue: 0x0c)
  /// Namespace Management.
  public static let namespaceManagement = AdminOpcode(rawValue: 0x0d)
  /// Firmware Commit.
  public static let firmwareCommit = AdminOpcode(rawValue: 0x10)
  /// Firmware Image Download.
  public static let firmwareImageDownload = AdminOpcode(rawValue: 0x11)
  /// Device Self-test.
  public static let deviceSelfTest = AdminOpcode(rawValue: 0x14)
  /// Namespace Attachment.
  public static let namespaceAttachment = AdminOpcode(rawValue: 0x15)
  /// Keep Alive.
  public static let keepAlive = AdminOpcode(rawValue: 0x18)
  /// Doorbell Buffer Config.
  public static let doorbellBufferConfig = AdminOpcode(rawValue: 0x7c)
  /// Format NVM.
  public static let formatNVM = AdminOpcode(rawValue: 0x80)
  /// Security Send.
  public static let securitySend = AdminOpcode(rawValue: 0x81)
  /// Security Receive.
  public static let securityReceive = AdminOpcode(rawValue: 0x82)
  /// Sanitize.
  public static let sanitize = AdminOpcode(rawValue: 0x84)
}
