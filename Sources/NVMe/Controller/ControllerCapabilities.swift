/// Controller Capabilities (CAP).
///
/// Source: NVMe 1.4, section 3.1.1.
public struct ControllerCapabilities: RawRepresentable, Hashable, Sendable {
  /// The register's value.
  public var rawValue: UInt64

  /// The capabilities in a register's value.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The most entries that an I/O queue can have: Maximum Queue Entries Supported (MQES) plus one,
  /// 2 to 65,536.
  public var maximumQueueEntryCount: Int {
    get { Int(rawValue & 0xffff) + 1 }
    set { rawValue = rawValue & ~0xffff | UInt64(newValue - 1) & 0xffff }
  }

  /// Contiguous Queues Required (CQR).
  public var requiresContiguousQueues: Bool {
    get { rawValue >> 16 & 1 != 0 }
    set { rawValue = rawValue & ~(1 << 16) | (newValue ? 1 << 16 : 0) }
  }

  /// Timeout (TO): how long a driver waits for CSTS.RDY to follow CC.EN, in units of 500 ms.
  public var timeout: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 24) }
    set { rawValue = rawValue & ~(0xff << 24) | UInt64(newValue) << 24 }
  }

  /// Doorbell Stride (DSTRD): doorbells are 4 shifted left by this many bytes apart.
  public var doorbellStride: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 32) & 0xf }
    set { rawValue = rawValue & ~(0xf << 32) | UInt64(newValue & 0xf) << 32 }
  }

  /// NVM Subsystem Reset Supported (NSSRS).
  public var supportsSubsystemReset: Bool {
    get { rawValue >> 36 & 1 != 0 }
    set { rawValue = rawValue & ~(1 << 36) | (newValue ? 1 << 36 : 0) }
  }

  /// Command Sets Supported (CSS): bit 0 is the NVM command set.
  public var commandSets: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 37) }
    set { rawValue = rawValue & ~(0xff << 37) | UInt64(newValue) << 37 }
  }

  /// Memory Page Size Minimum (MPSMIN): the smallest page is 4096 shifted left by this.
  public var minimumPageShift: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 48) & 0xf }
    set { rawValue = rawValue & ~(0xf << 48) | UInt64(newValue & 0xf) << 48 }
  }

  /// Memory Page Size Maximum (MPSMAX): the largest page is 4096 shifted left by this.
  public var maximumPageShift: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 52) & 0xf }
    set { rawValue = rawValue & ~(0xf << 52) | UInt64(newValue & 0xf) << 52 }
  }
}
