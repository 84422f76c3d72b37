import VFIOUser

/// A range of a guest's addresses whose accesses go over a port; the argument of `KVM_SET_IOREGION`.
///
/// Source: the ioregionfd design, `struct kvm_ioregion`.
public struct IORegionAssignment: Sendable {
  /// What `flags` says.
  public struct Flags: OptionSet, Hashable, Sendable {
    /// The bits as the kernel would take them.
    public let rawValue: UInt32

    /// Makes flags of the bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A range of ports; else of memory.
    public static let port = Flags(rawValue: 1 << 0)
    /// Nobody waits for a response to a write.
    public static let postedWrites = Flags(rawValue: 1 << 1)

    /// All that mean something.
    public static let known: Flags = [.port, .postedWrites]
  }

  /// Where the range begins.
  public var address: GuestAddress
  /// Its length in bytes, at least 1.
  public var byteCount: UInt64
  /// What each command carries to tell the server which range it is for.
  public var userData: UInt64
  /// Where the accesses go; nil removes the range.
  public var port: (any IORegionPort)?
  /// Ports or memory, posted writes or not.
  public var flags: Flags

  /// Describes a range; nothing is checked.
  public init(
    space: GuestSpace = .memory, address: GuestAddress, byteCount: UInt64, userData: UInt64 = 0,
    port: (any IORegionPort)?, postsWrites: Bool = false
  ) {
    self.address = address
    self.byteCount = byteCount
    self.userData = userData
    self.port = port
    flags = []
    if space == .port { flags.insert(.port) }
    if postsWrites { flags.insert(.postedWrites) }
  }

  /// Which addresses these are.
  public var space: GuestSpace { flags.contains(.port) ? .port : .memory }

  /// Whether nobody waits for a response to a write.
  public var postsWrites: Bool { flags.contains(.postedWrites) }
}
