/// One access of a vCPU that caused an exit.
public struct GuestAccess: Hashable, Sendable {
  /// Memory or ports.
  public var space: GuestSpace
  /// Where it begins.
  public var address: GuestAddress
  /// How many bytes it has, 1 to 8.
  public var byteCount: Int
  /// What is written, zero-extended; nil for a read.
  public var value: UInt64?

  /// A read.
  public static func read(
    _ space: GuestSpace = .memory, at address: GuestAddress, byteCount: Int
  ) -> GuestAccess {
    GuestAccess(space: space, address: address, byteCount: byteCount, value: nil)
  }

  /// A write of the low `byteCount` bytes of `value`.
  public static func write(
    _ value: UInt64, _ space: GuestSpace = .memory, at address: GuestAddress, byteCount: Int
  ) -> GuestAccess {
    GuestAccess(space: space, address: address, byteCount: byteCount, value: value)
  }

  /// Makes an access; nothing is checked.
  public init(space: GuestSpace, address: GuestAddress, byteCount: Int, value: UInt64?) {
    self.space = space
    self.address = address
    self.byteCount = byteCount
    self.value = value
  }

  @inline(__always)
  var isRead: Bool { value == nil }
}
