// How whole registers enter and leave an access's bytes: little-endian, 1, 2, 4 or 8 of them.

extension MutableRawSpan {
  /// Stores a register's value at the start of the bytes, which are exactly as many as it has.
  @inline(__always)
  mutating func storeRegister(_ value: UInt64, _ byteCount: UInt8) {
    switch byteCount {
    case 1:
      storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
    case 2:
      storeBytes(of: UInt16(truncatingIfNeeded: value).littleEndian, as: UInt16.self)
    case 4:
      storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, as: UInt32.self)
    default:
      storeBytes(of: value.littleEndian, as: UInt64.self)
    }
  }
}

extension RawSpan {
  /// The register's value at the start of the bytes, which are exactly as many as it has.
  @inline(__always)
  func loadRegister(_ byteCount: UInt8) -> UInt64 {
    // Safety: every bit pattern is an integer, and the load checks the bounds.
    switch byteCount {
    case 1:
      return UInt64(unsafe unsafeLoadUnaligned(as: UInt8.self))
    case 2:
      return UInt64(UInt16(littleEndian: unsafe unsafeLoadUnaligned(as: UInt16.self)))
    case 4:
      return UInt64(UInt32(littleEndian: unsafe unsafeLoadUnaligned(as: UInt32.self)))
    default:
      return UInt64(littleEndian: unsafe unsafeLoadUnaligned(as: UInt64.self))
    }
  }

  /// The byte at `offset`. Traps past the end.
  @inline(__always)
  public func byte(at offset: Int) -> UInt8 {
    // Safety: every bit pattern is an integer, and the load checks the bounds.
    unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }
}
