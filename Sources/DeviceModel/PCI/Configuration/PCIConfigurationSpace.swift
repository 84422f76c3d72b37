/// The bytes of a function's configuration space and what a write may do to each of their bits.
///
/// A bit is read-only unless it is declared writable or cleared by writing one. Reads and writes
/// may have any width and alignment; bytes beyond the end read 0 and ignore writes. A value, so
/// that it can be tested and compared on its own.
///
/// Source: PCI Local Bus Specification 3.0, section 6.1.
public struct PCIConfigurationSpace: Hashable, Sendable {
  /// The contents as a driver reads them.
  public private(set) var bytes: [UInt8]
  /// The contents after power-on.
  private var initial: [UInt8]
  private var writable: [UInt8]
  private var clearedByOne: [UInt8]
  private var sticky: [UInt8]

  /// An empty space of `byteCount` bytes: all zero, all read-only.
  public init(byteCount: Int) {
    let zeros = [UInt8](repeating: 0, count: max(0, byteCount))
    bytes = zeros
    initial = zeros
    writable = zeros
    clearedByOne = zeros
    sticky = zeros
  }

  /// The size of the space in bytes, 256 or 4096.
  public var byteCount: Int { bytes.count }

  /// Declares a register: its value after power-on and how its bits behave.
  ///
  /// Bytes beyond the end of the space are dropped.
  /// - Parameters:
  ///   - offset: bytes from the start of the space.
  ///   - value: the value after power-on.
  ///   - writable: bits that take what is written to them.
  ///   - clearedByOne: bits that a written one clears.
  ///   - sticky: bits that keep their value in every reset but power-on.
  public mutating func define<Value: FixedWidthInteger & UnsignedInteger>(
    at offset: Int, _ value: Value, writable: Value = 0, clearedByOne: Value = 0,
    sticky: Value = 0
  ) {
    for index in 0..<(Value.bitWidth / 8) {
      let position = offset + index
      guard bytes.indices.contains(position) else { return }
      let shift = index * 8
      initial[position] = UInt8(truncatingIfNeeded: value >> shift)
      bytes[position] = initial[position]
      self.writable[position] = UInt8(truncatingIfNeeded: writable >> shift)
      self.clearedByOne[position] = UInt8(truncatingIfNeeded: clearedByOne >> shift)
      self.sticky[position] = UInt8(truncatingIfNeeded: sticky >> shift)
    }
  }

  /// The little-endian value at `offset`; bytes beyond the end count as 0.
  public func load<Value: FixedWidthInteger & UnsignedInteger>(
    at offset: Int, as type: Value.Type = Value.self
  ) -> Value {
    var value: Value = 0
    for index in 0..<(Value.bitWidth / 8) {
      value |= Value(truncatingIfNeeded: byte(at: offset + index)) << (index * 8)
    }
    return value
  }

  /// Stores a little-endian value as the hardware does: masks do not apply.
  public mutating func store<Value: FixedWidthInteger & UnsignedInteger>(
    _ value: Value, at offset: Int
  ) {
    for index in 0..<(Value.bitWidth / 8) where bytes.indices.contains(offset + index) {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8))
    }
  }

  /// The byte at `offset`, or 0 beyond the end.
  public func byte(at offset: Int) -> UInt8 {
    bytes.indices.contains(offset) ? bytes[offset] : 0
  }

  /// Writes one byte as a driver does: only writable bits change, a one clears bits that are
  /// cleared by it.
  ///
  /// A byte beyond the end is ignored.
  public mutating func write(_ value: UInt8, at offset: Int) {
    guard bytes.indices.contains(offset) else { return }
    let kept = bytes[offset] & ~writable[offset]
    bytes[offset] = (kept | value & writable[offset]) & ~(value & clearedByOne[offset])
  }

  /// Writes a little-endian value as a driver does, see ``write(_:at:)-(UInt8,_)``.
  public mutating func write<Value: FixedWidthInteger & UnsignedInteger>(
    _ value: Value, at offset: Int
  ) {
    for index in 0..<(Value.bitWidth / 8) {
      write(UInt8(truncatingIfNeeded: value >> (index * 8)), at: offset + index)
    }
  }

  /// Puts everything back to its value after power-on.
  ///
  /// - Parameter includingSticky: whether the bits that outlive a reset are reset as well, as
  ///   when power is applied.
  public mutating func reset(includingSticky: Bool = false) {
    for index in bytes.indices {
      let kept = includingSticky ? 0 : sticky[index]
      bytes[index] = bytes[index] & kept | initial[index] & ~kept
    }
  }

  /// The bits of the byte at `offset` that a write can change, by setting or by clearing.
  public func changeable(at offset: Int) -> UInt8 {
    bytes.indices.contains(offset) ? writable[offset] | clearedByOne[offset] : 0
  }
}
