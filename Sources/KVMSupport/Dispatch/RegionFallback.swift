import VFIOUser

/// A wish of the server's that is not met, and why; what it was for is reached in another way.
public struct RegionFallback: Hashable, Sendable {
  /// Where it was for, in the region.
  public var offset: RegionOffset
  /// How many bytes it was for.
  public var byteCount: UInt64
  /// What was wished for, in a word or two.
  public var wish: String
  /// The closest error number.
  public var errno: Errno
  /// Why it is not met, for people.
  public var reason: String

  init(_ offset: UInt64, _ byteCount: UInt64, _ wish: String, _ errno: Errno, _ reason: String) {
    self.offset = RegionOffset(offset)
    self.byteCount = byteCount
    self.wish = wish
    self.errno = errno
    self.reason = reason
  }
}
