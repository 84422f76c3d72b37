import VFIOUser

/// A write of the guest that signals an eventfd and does nothing else (an ioeventfd).
///
/// Source: `KVM_IOEVENTFD`.
public struct IOEvent: Hashable, Sendable {
  /// Memory or ports.
  public var space: GuestSpace
  /// Where the write begins.
  public var address: GuestAddress
  /// How many bytes it has: 1, 2, 4 or 8; 0 for any number.
  public var byteCount: Int
  /// The value that it has (datamatch), or nil for any.
  public var matching: UInt64?
  /// The eventfd, which stays its owner's.
  public var descriptor: CInt

  /// Makes an event; nothing is checked.
  public init(
    space: GuestSpace = .memory, address: GuestAddress, byteCount: Int, matching: UInt64? = nil,
    descriptor: CInt
  ) {
    self.space = space
    self.address = address
    self.byteCount = byteCount
    self.matching = matching
    self.descriptor = descriptor
  }

  /// Whether a write of `byteCount` bytes at `address` is this one.
  @inline(__always)
  func matches(_ address: GuestAddress, _ value: UInt64, byteCount: Int) -> Bool {
    address == self.address && (self.byteCount == 0 || byteCount == self.byteCount)
      && (matching == nil || matching == value)
  }

  /// Whether there are writes that both would take; the kernel answers `EEXIST` then.
  func collides(with other: IOEvent) -> Bool {
    guard space == other.space, address == other.address else { return false }
    if byteCount == 0 || other.byteCount == 0 { return true }
    return byteCount == other.byteCount
      && (matching == nil || other.matching == nil || matching == other.matching)
  }
}
