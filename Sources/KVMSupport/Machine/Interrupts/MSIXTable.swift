/// The table of MSI-X vectors of a device, as the guest has written it.
///
/// A value: who owns it acts on what it says.
///
/// Source: PCI Local Bus Specification 3.0, section 6.8.2.
struct MSIXTable: Sendable {
  /// The size of an entry in bytes.
  static let entryByteCount = 16

  private var bytes: [UInt8]

  /// A table after a reset: every vector masked.
  init(vectorCount: Int) {
    bytes = [UInt8](repeating: 0, count: vectorCount * Self.entryByteCount)
    for vector in 0..<vectorCount { bytes[vector * Self.entryByteCount + 12] = 1 }
  }

  /// How many vectors there are.
  var vectorCount: Int { bytes.count / Self.entryByteCount }

  /// Whether the guest holds a vector back.
  func isMasked(_ vector: Int) -> Bool { bytes[vector * Self.entryByteCount + 12] & 1 != 0 }

  /// Whether the guest has written anything that differs from an entry after a reset.
  func isUsed(_ vector: Int) -> Bool {
    !isMasked(vector) || message(vector) != InterruptMessage(address: 0, data: 0)
  }

  /// What a vector sends.
  func message(_ vector: Int) -> InterruptMessage {
    let entry = vector * Self.entryByteCount
    return InterruptMessage(
      address: read(at: entry, byteCount: 8),
      data: UInt32(truncatingIfNeeded: read(at: entry + 8, byteCount: 4)))
  }

  /// The little-endian value at an offset; bytes past the end are 0.
  func read(at offset: Int, byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<byteCount where bytes.indices.contains(offset + index) {
      value |= UInt64(bytes[offset + index]) << UInt64(index * 8)
    }
    return value
  }

  /// Writes as a guest does; returns the vectors that it touched.
  mutating func write(_ value: UInt64, at offset: Int, byteCount: Int) -> Range<Int> {
    let end = min(offset + byteCount, bytes.count)
    guard offset >= 0, offset < end else { return 0..<0 }
    for position in offset..<end {
      let byte = UInt8(truncatingIfNeeded: value >> UInt64((position - offset) * 8))
      bytes[position] = byte & Self.writable(position)
    }
    return offset / Self.entryByteCount..<(end - 1) / Self.entryByteCount + 1
  }

  private static func writable(_ position: Int) -> UInt8 {
    switch position % entryByteCount {
    case 0: 0xfc
    case 12: 0x01
    case 13...: 0x00
    default: 0xff
    }
  }
}
