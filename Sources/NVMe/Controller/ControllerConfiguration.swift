/// Controller Configuration (CC).
///
/// Source: NVMe 1.4, section 3.1.5.
public struct ControllerConfiguration: RawRepresentable, Hashable, Sendable {
  /// What a driver says of a shutdown: Shutdown Notification (SHN).
  public enum ShutdownNotification: UInt32, Sendable {
    /// No notification.
    case none = 0
    /// Normal shutdown.
    case normal = 1
    /// Abrupt shutdown.
    case abrupt = 2
  }

  /// The register's value.
  public var rawValue: UInt32

  /// The configuration in a register's value.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Enable (EN).
  public var isEnabled: Bool {
    get { rawValue & 1 != 0 }
    set { rawValue = rawValue & ~1 | (newValue ? 1 : 0) }
  }

  /// I/O Command Set Selected (CSS): 0 is the NVM command set.
  public var commandSet: UInt32 {
    get { rawValue >> 4 & 7 }
    set { rawValue = rawValue & ~(7 << 4) | (newValue & 7) << 4 }
  }

  /// Memory Page Size (MPS): pages have 4096 shifted left by this many bytes.
  public var pageShift: UInt32 {
    get { rawValue >> 7 & 0xf }
    set { rawValue = rawValue & ~(0xf << 7) | (newValue & 0xf) << 7 }
  }

  /// Arbitration Mechanism Selected (AMS): 0 is round robin.
  public var arbitration: UInt32 {
    get { rawValue >> 11 & 7 }
    set { rawValue = rawValue & ~(7 << 11) | (newValue & 7) << 11 }
  }

  /// Shutdown Notification (SHN); nil for the reserved value.
  public var shutdownNotification: ShutdownNotification? {
    get { ShutdownNotification(rawValue: rawValue >> 14 & 3) }
    set { rawValue = rawValue & ~(3 << 14) | (newValue ?? .none).rawValue << 14 }
  }

  /// I/O Submission Queue Entry Size (IOSQES), as a power of two: 6 for 64 bytes.
  public var submissionEntryShift: UInt32 {
    get { rawValue >> 16 & 0xf }
    set { rawValue = rawValue & ~(0xf << 16) | (newValue & 0xf) << 16 }
  }

  /// I/O Completion Queue Entry Size (IOCQES), as a power of two: 4 for 16 bytes.
  public var completionEntryShift: UInt32 {
    get { rawValue >> 20 & 0xf }
    set { rawValue = rawValue & ~(0xf << 20) | (newValue & 0xf) << 20 }
  }
}
