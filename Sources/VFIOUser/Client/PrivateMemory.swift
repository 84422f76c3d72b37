import Synchronization

/// Memory of the client that no descriptor gives away: a device reaches it by messages only.
///
/// Threads: any; each read and each write is one step.
public final class PrivateMemory: ClientMemory {
  private let bytes: Mutex<[UInt8]>
  /// The size in bytes.
  public let byteCount: Int

  /// New memory, zeroed.
  public init(byteCount: Int) {
    self.byteCount = byteCount
    bytes = Mutex([UInt8](repeating: 0, count: byteCount))
  }

  /// Copies memory from `offset` on into `target`; throws EINVAL past the end.
  public func read(at offset: Int, into target: inout MutableRawSpan) throws(Errno) {
    let count = target.byteCount
    guard offset >= 0, count <= byteCount, offset <= byteCount - count else {
      throw .invalidArgument
    }
    // A copy, because the span cannot be lent to the lock's closure.
    let copy = bytes.withLock { Array($0[offset..<(offset + count)]) }
    do { try target.store(bytes: copy.rawSpan, at: 0) } catch { throw error.errno }
  }

  /// Copies `source` into the memory at `offset`; throws EINVAL past the end.
  public func write(at offset: Int, from source: RawSpan) throws(Errno) {
    let count = source.byteCount
    guard offset >= 0, count <= byteCount, offset <= byteCount - count else {
      throw .invalidArgument
    }
    let copy = [UInt8](copying: source)
    bytes.withLock { $0.replaceSubrange(offset..<(offset + count), with: copy) }
  }

  /// The bytes from `offset` on; throws EINVAL past the end.
  public func contents(at offset: Int = 0, byteCount count: Int) throws(Errno) -> [UInt8] {
    guard offset >= 0, count >= 0, count <= byteCount, offset <= byteCount - count else {
      throw .invalidArgument
    }
    return bytes.withLock { Array($0[offset..<(offset + count)]) }
  }
}
