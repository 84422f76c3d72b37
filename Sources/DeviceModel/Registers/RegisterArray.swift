/// Declares that a register repeats: element n is at the register's offset plus n times the stride.
///
/// Arrays may interleave, as the submission and completion doorbells of NVMe do.
public struct RegisterArray: Sendable, Hashable {
  /// How many elements, at least 1.
  public var count: Int
  /// Bytes from the start of one element to the start of the next, at least the register's width.
  public var strideByteCount: Int

  /// Declares an array of `count` elements, `stride` bytes apart.
  public init(count: Int, stride: Int) {
    self.count = count
    self.strideByteCount = stride
  }
}
