import CVFIOUserLinux

/// Page-aligned memory of this process that I/O moves through: where bytes have to be looked at,
/// changed or kept between guest memory and a storage.
///
/// Zeroed when it is made. It may be part of a ``DMAScatterList``, beside guest memory.
///
/// Threads: any, one at a time.
@safe
public final class IOBuffer: @unchecked Sendable {
  /// The size in bytes.
  public let byteCount: Int
  /// The first byte.
  let start: UnsafeMutableRawPointer

  /// Zeroed memory of `byteCount` bytes; at least 1.
  public init(byteCount: Int) {
    precondition(byteCount > 0, "an I/O buffer holds at least one byte")
    self.byteCount = byteCount
    let page = MemoryMapping.pageSize
    // Safety: `byteCount` bytes that are this object's alone until deinit.
    unsafe start = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: page)
    unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  }

  deinit {
    // Safety: allocated by init; whoever used the address held a reference.
    unsafe start.deallocate()
  }

  /// Copies bytes out of the buffer.
  ///
  /// - Throws: `EINVAL` past the end.
  public func read(at offset: Int, into bytes: inout MutableRawSpan) throws(Errno) {
    try check(offset, bytes.byteCount)
    // Safety: the range was checked.
    unsafe bytes.withUnsafeMutableBytes { target in
      guard let base = target.baseAddress else { return }
      unsafe base.copyMemory(from: start + offset, byteCount: target.count)
    }
  }

  /// Copies `bytes` into the buffer.
  ///
  /// - Throws: `EINVAL` past the end.
  public func write(at offset: Int, from bytes: RawSpan) throws(Errno) {
    try check(offset, bytes.byteCount)
    // Safety: the range was checked.
    unsafe bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      unsafe (start + offset).copyMemory(from: base, byteCount: source.count)
    }
  }

  /// Reads a little-endian integer of any alignment.
  ///
  /// - Throws: `EINVAL` past the end.
  public func load<Value: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Value.Type = Value.self
  ) throws(Errno) -> Value {
    try check(offset, MemoryLayout<Value>.size)
    // Safety: the range was checked, and any bits make an integer.
    return unsafe Value(littleEndian: (start + offset).loadUnaligned(as: Value.self))
  }

  /// Writes a little-endian integer at any alignment.
  ///
  /// - Throws: `EINVAL` past the end.
  public func store<Value: FixedWidthInteger & BitwiseCopyable>(
    _ value: Value, at offset: Int
  ) throws(Errno) {
    try check(offset, MemoryLayout<Value>.size)
    // Safety: the range was checked.
    unsafe (start + offset).storeBytes(of: value.littleEndian, as: Value.self)
  }

  /// Whether two ranges of two buffers, or of one, hold the same bytes.
  ///
  /// - Throws: `EINVAL` past an end.
  public func matches(
    at offset: Int, _ other: IOBuffer, at otherOffset: Int, byteCount: Int
  ) throws(Errno) -> Bool {
    try check(offset, byteCount)
    try other.check(otherOffset, byteCount)
    // Safety: both ranges were checked.
    return unsafe memcmp(start + offset, other.start + otherOffset, byteCount) == 0
  }

  /// Sets a range to one byte.
  ///
  /// - Throws: `EINVAL` past the end.
  public func fill(at offset: Int, byteCount: Int, _ byte: UInt8 = 0) throws(Errno) {
    try check(offset, byteCount)
    // Safety: the range was checked.
    unsafe memset(start + offset, CInt(byte), byteCount)
  }

  private func check(_ offset: Int, _ count: Int) throws(Errno) {
    guard offset >= 0, count >= 0, count <= byteCount, offset <= byteCount - count else {
      throw .invalidArgument
    }
  }
}
