/// Answers accesses to a range of a guest's addresses in this process: a register of the monitor's.
///
/// Threads: the thread of the vCPU that accesses, several at a time.
public protocol GuestAccessHandler: AnyObject, Sendable {
  /// Reads `byteCount` bytes, 1 to 8, at `offset` bytes into the range; the rest of the value is
  /// ignored.
  func read(at offset: UInt64, byteCount: Int) -> UInt64

  /// Writes the low `byteCount` bytes of `value`, zero-extended.
  func write(_ value: UInt64, at offset: UInt64, byteCount: Int)

  /// Reads where there is no value, else writes; for handlers that lead to something that may be away.
  ///
  /// - Returns: what was read, 0 for a write. Nil says that the access has to be made again: what would
  ///   answer is away and may come back, and a moment has passed. By default it is never nil.
  func access(at offset: UInt64, byteCount: Int, value: UInt64?) -> UInt64?
}

extension GuestAccessHandler {
  /// Reads or writes.
  public func access(at offset: UInt64, byteCount: Int, value: UInt64?) -> UInt64? {
    guard let value else { return read(at: offset, byteCount: byteCount) }
    write(value, at: offset, byteCount: byteCount)
    return 0
  }
}
