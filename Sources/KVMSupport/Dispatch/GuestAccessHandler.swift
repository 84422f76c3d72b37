/// Answers accesses to a range of a guest's addresses in this process: a register of the monitor's.
///
/// Threads: the thread of the vCPU that accesses, several at a time.
public protocol GuestAccessHandler: AnyObject, Sendable {
  /// Reads `byteCount` bytes, 1 to 8, at `offset` bytes into the range; the rest of the value is
  /// ignored.
  func read(at offset: UInt64, byteCount: Int) -> UInt64

  /// Writes the low `byteCount` bytes of `value`, zero-extended.
  func write(_ value: UInt64, at offset: UInt64, byteCount: Int)
}
