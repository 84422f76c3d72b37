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
  @inlinable public static var deleteSubmissionQueue: AdminOpcode { AdminOpcode(rawValue: 0x00) }
  /// Create I/O Submission Queue.
  @inlinable public static var createSubmissionQueue: AdminOpcode { AdminOpcode(rawValue: 0x01) }
  /// Get Log Page.
  @inlinable public static var getLogPage: AdminOpcode { AdminOpcode(rawValue: 0x02) }
  /// Delete I/O Completion Queue.
  @inlinable public static var deleteCompletionQueue: AdminOpcode { AdminOpcode(rawValue: 0x04) }
  /// Create I/O Completion Queue.
  @inlinable public static var createCompletionQueue: AdminOpcode { AdminOpcode(rawValue: 0x05) }
  /// Identify.
  @inlinable public static var identify: AdminOpcode { AdminOpcode(rawValue: 0x06) }
  /// Abort.
  @inlinable public static var abort: AdminOpcode { AdminOpcode(rawValue: 0x08) }
  /// Set Features.
  @inlinable public static var setFeatures: AdminOpcode { AdminOpcode(rawValue: 0x09) }
  /// Get Features.
  @inlinable public static var getFeatures: AdminOpcode { AdminOpcode(rawValue: 0x0a) }
  /// Asynchronous Event Request.
  @inlinable public static var asynchronousEventRequest: AdminOpcode { AdminOpcode(rawValue: 0x0c) }
  /// Namespace Management.
  @inlinable public static var namespaceManagement: AdminOpcode { AdminOpcode(rawValue: 0x0d) }
  /// Firmware Commit.
  @inlinable public static var firmwareCommit: AdminOpcode { AdminOpcode(rawValue: 0x10) }
  /// Firmware Image Download.
  @inlinable public static var firmwareImageDownload: AdminOpcode { AdminOpcode(rawValue: 0x11) }
  /// Device Self-test.
  @inlinable public static var deviceSelfTest: AdminOpcode { AdminOpcode(rawValue: 0x14) }
  /// Namespace Attachment.
  @inlinable public static var namespaceAttachment: AdminOpcode { AdminOpcode(rawValue: 0x15) }
  /// Keep Alive.
  @inlinable public static var keepAlive: AdminOpcode { AdminOpcode(rawValue: 0x18) }
  /// Doorbell Buffer Config.
  @inlinable public static var doorbellBufferConfig: AdminOpcode { AdminOpcode(rawValue: 0x7c) }
  /// Format NVM.
  @inlinable public static var formatNVM: AdminOpcode { AdminOpcode(rawValue: 0x80) }
  /// Security Send.
  @inlinable public static var securitySend: AdminOpcode { AdminOpcode(rawValue: 0x81) }
  /// Security Receive.
  @inlinable public static var securityReceive: AdminOpcode { AdminOpcode(rawValue: 0x82) }
  /// Sanitize.
  @inlinable public static var sanitize: AdminOpcode { AdminOpcode(rawValue: 0x84) }
}
