/// Controller Status (CSTS).
///
/// Source: NVMe 1.4, section 3.1.6.
public struct ControllerStatus: RawRepresentable, Hashable, Sendable {
  /// How far a shutdown has got: Shutdown Status (SHST).
  public enum Shutdown: UInt32, Sendable {
    /// Normal operation.
    case none = 0
    /// Shutdown is going on.
    case occurring = 1
    /// Shutdown is complete.
    case complete = 2
  }

  /// The register's value.
  public var rawValue: UInt32

  /// The status in a register's value.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Ready (RDY).
  public var isReady: Bool {
    get { rawValue & 1 != 0 }
    set { rawValue = rawValue & ~1 | (newValue ? 1 : 0) }
  }

  /// Controller Fatal Status (CFS).
  public var isFatal: Bool {
    get { rawValue & 2 != 0 }
    set { rawValue = rawValue & ~2 | (newValue ? 2 : 0) }
  }

  /// Shutdown Status (SHST); nil for the reserved value.
  public var shutdown: Shutdown? {
    get { Shutdown(rawValue: rawValue >> 2 & 3) }
    set { rawValue = rawValue & ~(3 << 2) | (newValue ?? .none).rawValue << 2 }
  }

  /// NVM Subsystem Reset Occurred (NSSRO).
  public var subsystemResetOccurred: Bool {
    get { rawValue & 0x10 != 0 }
    set { rawValue = rawValue & ~0x10 | (newValue ? 0x10 : 0) }
  }

  /// Processing Paused (PP).
  public var isProcessingPaused: Bool {
    get { rawValue & 0x20 != 0 }
    set { rawValue = rawValue & ~0x20 | (newValue ? 0x20 : 0) }
  }
}
