// The only place where integers are taken from, and put into, the bytes of messages. The protocol
// uses the host's byte order and every host served here is little-endian, so that order is fixed.

extension RawSpan {
  /// Reads a little-endian integer at a byte offset of any alignment; throws `truncated` when it
  /// does not lie inside the span.
  @inlinable @inline(__always)
  public func load<T: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: T.Type = T.self
  ) throws(WireError) -> T {
    guard offset >= 0, byteCount >= MemoryLayout<T>.size,
      offset <= byteCount &- MemoryLayout<T>.size
    else { throw WireError(.truncated, "the message ends inside a field") }
    // Safety: the guard above keeps the access inside the span, and any bits make an integer.
    return unsafe T(littleEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: T.self))
  }

  /// The `byteCount` bytes at `offset`; throws `truncated` when they do not lie inside the span.
  @inlinable @inline(__always)
  @_lifetime(copy self)
  public func slice(at offset: Int, byteCount count: Int) throws(WireError) -> RawSpan {
    guard offset >= 0, count >= 0, count <= byteCount, offset <= byteCount &- count else {
      throw WireError(.truncated, "the message ends inside its data")
    }
    return extracting(offset..<(offset &+ count))
  }

  /// The bytes from `offset` to the end; throws `truncated` when the span is shorter.
  @inlinable @inline(__always)
  @_lifetime(copy self)
  public func slice(from offset: Int) throws(WireError) -> RawSpan {
    try slice(at: offset, byteCount: byteCount &- offset)
  }
}

extension MutableRawSpan {
  /// Writes an integer, little-endian, at a byte offset of any alignment; throws `truncated` when
  /// it does not fit into the span.
  @inlinable @inline(__always)
  public mutating func store<T: FixedWidthInteger & BitwiseCopyable>(
    _ value: T, at offset: Int
  ) throws(WireError) {
    guard offset >= 0, byteCount >= MemoryLayout<T>.size,
      offset <= byteCount &- MemoryLayout<T>.size
    else { throw WireError(.truncated, "the buffer ends inside a field") }
    // Safety: the guard above keeps the access inside the span.
    unsafe storeBytes(of: value.littleEndian, toUncheckedByteOffset: offset, as: T.self)
  }

  /// Reads a little-endian integer back; throws `truncated` when it is not inside the span.
  @inlinable @inline(__always)
  public func load<T: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: T.Type = T.self
  ) throws(WireError) -> T {
    try bytes.load(at: offset, as: type)
  }

  /// Copies bytes to `offset`; throws `truncated` when they do not fit into the span.
  @inlinable
  public mutating func store(bytes source: RawSpan, at offset: Int) throws(WireError) {
    let count = source.byteCount
    guard offset >= 0, count <= byteCount, offset <= byteCount &- count else {
      throw WireError(.truncated, "the buffer ends inside the data")
    }
    if count == 0 { return }
    // Safety: the guard above keeps the copy inside the span; a span that is written exclusively
    // cannot overlap one that is read.
    unsafe withUnsafeMutableBytes { destination in
      unsafe source.withUnsafeBytes { origin in
        unsafe UnsafeMutableRawBufferPointer(rebasing: destination[offset..<(offset &+ count)])
          .copyMemory(from: origin)
      }
    }
  }

  /// Sets `count` bytes at `offset` to zero; throws `truncated` when they are not in the span.
  @inlinable
  public mutating func zero(at offset: Int, byteCount count: Int) throws(WireError) {
    guard offset >= 0, count >= 0, count <= byteCount, offset <= byteCount &- count else {
      throw WireError(.truncated, "the buffer ends inside the padding")
    }
    // Safety: the guard above keeps the range inside the span.
    unsafe withUnsafeMutableBytes { bytes in
      unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<(offset &+ count)])
        .initializeMemory(as: UInt8.self, repeating: 0)
      return
    }
  }
}

extension Array where Element == UInt8 {
  /// The array's bytes as a span.
  @inlinable
  public var rawSpan: RawSpan {
    @_lifetime(borrow self)
    get {
      // Safety: bytes have neither padding nor invalid values.
      unsafe span.bytes
    }
  }

  /// A copy of a span's bytes.
  @inlinable
  public init(copying bytes: RawSpan) {
    // Safety: the pointer is used only inside the closure.
    self = unsafe bytes.withUnsafeBytes { buffer in unsafe Array(buffer) }
  }

  /// Lends the array's bytes for writing; throws what `body` throws.
  @inlinable
  public mutating func withMutableRawSpan<Result: ~Copyable, Failure: Error>(
    _ body: (inout MutableRawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var elements = mutableSpan
    // Safety: bytes have neither padding nor invalid values.
    var bytes = unsafe elements.mutableBytes
    return try body(&bytes)
  }

  /// Makes an array of `byteCount` zero bytes and lends it for writing; throws what the body
  /// throws.
  @inlinable
  public init<Failure: Error>(
    byteCount: Int, _ body: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try bytes.withMutableRawSpan(body)
    self = bytes
  }
}
