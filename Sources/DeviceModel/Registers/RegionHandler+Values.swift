import VFIOUser

// How tests, and devices that share a handler, access it as a client would, without a session.

extension RegionHandler {
  /// Reads a little-endian integer at `offset`, as a client's access of that width does.
  ///
  /// - Throws: what the handler throws.
  public func load<Value: FixedWidthInteger & UnsignedInteger>(
    at offset: RegionOffset, as type: Value.Type = Value.self
  ) throws(Errno) -> Value {
    let bytes = try loadBytes(at: offset, byteCount: Value.bitWidth / 8)
    return bytes.reversed().reduce(0) { $0 << 8 | Value(truncatingIfNeeded: $1) }
  }

  /// Writes a little-endian integer at `offset`, as a client's access of that width does.
  ///
  /// - Throws: what the handler throws.
  public func store<Value: FixedWidthInteger & UnsignedInteger>(
    _ value: Value, at offset: RegionOffset
  ) throws(Errno) {
    try storeBytes(
      (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Value($0 * 8)) },
      at: offset)
  }

  /// Reads `byteCount` bytes at `offset` in one access.
  ///
  /// - Throws: what the handler throws.
  public func loadBytes(at offset: RegionOffset, byteCount: Int) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var elements = bytes.mutableSpan
    // Safety: any bytes that the handler stores are valid elements.
    var span = unsafe elements.mutableBytes
    try read(at: offset, into: &span, .immediate)
    return bytes
  }

  /// Writes bytes at `offset` in one access.
  ///
  /// - Throws: what the handler throws.
  public func storeBytes(_ bytes: [UInt8], at offset: RegionOffset) throws(Errno) {
    // Safety: an array of bytes has no padding that could be uninitialised.
    try write(at: offset, from: unsafe bytes.span.bytes, .immediate)
  }
}
