/// The part of a device's configuration space that the bus keeps itself: what a guest writes there
/// counts, whatever the device says.
///
/// Source: PCI Local Bus Specification 3.0, section 6.1.
struct PCIConfigurationShadow: Sendable {
  private var bytes = [UInt8](repeating: 0, count: PCIHeader.byteCount)
  private var initial = [UInt8](repeating: 0, count: PCIHeader.byteCount)
  /// Bits that are answered from here.
  private var kept = [UInt8](repeating: 0, count: PCIHeader.byteCount)
  /// Bits that a guest's write changes here.
  private var writable = [UInt8](repeating: 0, count: PCIHeader.byteCount)

  /// Takes a register over.
  ///
  /// - Parameters:
  ///   - value: what it holds after a reset.
  ///   - kept: the bits that are answered from here.
  ///   - writable: those of them that a guest can change.
  mutating func define<Value: FixedWidthInteger & UnsignedInteger>(
    at offset: Int, _ value: Value, kept: Value = .max, writable: Value = 0
  ) {
    for index in 0..<(Value.bitWidth / 8) where bytes.indices.contains(offset + index) {
      let (position, shift) = (offset + index, index * 8)
      let mask = UInt8(truncatingIfNeeded: kept >> shift)
      bytes[position] =
        bytes[position] & ~mask | UInt8(truncatingIfNeeded: value >> shift) & mask
      initial[position] = bytes[position]
      self.kept[position] |= mask
      self.writable[position] =
        self.writable[position] & ~mask | UInt8(truncatingIfNeeded: writable >> shift) & mask
    }
  }

  /// The little-endian value of what is kept at `offset`; other bits are 0.
  func load<Value: FixedWidthInteger & UnsignedInteger>(
    at offset: Int, as type: Value.Type = Value.self
  ) -> Value {
    var value: Value = 0
    for index in 0..<(Value.bitWidth / 8) where bytes.indices.contains(offset + index) {
      value |= Value(truncatingIfNeeded: bytes[offset + index]) << (index * 8)
    }
    return value
  }

  /// Whether every bit of an access is kept, so that the device need not be asked.
  func keepsAll(at offset: Int, byteCount: Int) -> Bool {
    (offset..<(offset + byteCount)).allSatisfy { kept.indices.contains($0) && kept[$0] == 0xff }
  }

  /// What a guest reads where the device says `value`.
  func merge(_ value: UInt32, at offset: Int, byteCount: Int) -> UInt32 {
    var result: UInt32 = 0
    for index in 0..<byteCount {
      var byte = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
      let position = offset + index
      if kept.indices.contains(position) {
        byte = byte & ~kept[position] | bytes[position] & kept[position]
      }
      result |= UInt32(byte) << UInt32(index * 8)
    }
    return result
  }

  /// A guest writes.
  mutating func write(_ value: UInt32, at offset: Int, byteCount: Int) {
    for index in 0..<byteCount where bytes.indices.contains(offset + index) {
      let position = offset + index
      let byte = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
      bytes[position] = bytes[position] & ~writable[position] | byte & writable[position]
    }
  }

  /// The device was reset: everything back to where it began, but the interrupt line, which is a note
  /// of the firmware's that no reset changes here.
  mutating func reset() {
    let line = bytes[PCIHeader.interruptLine]
    bytes = initial
    bytes[PCIHeader.interruptLine] = line
  }
}
