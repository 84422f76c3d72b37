/// Where a device's MSI-X table and pending bits lie.
///
/// Source: PCI Local Bus Specification 3.0, section 6.8.2.
struct MSIXLayout: Equatable, Sendable {
  /// How many vectors the table has, 1 to 2048.
  let vectorCount: Int
  /// The BAR that holds the table.
  let tableBAR: Int
  /// Where in that BAR, in bytes.
  let tableOffset: UInt64
  /// The BAR that holds the pending bits.
  let pendingBAR: Int
  /// Where in that BAR, in bytes.
  let pendingOffset: UInt64

  /// Reads a capability of a space whose first 256 bytes are given.
  init(_ bytes: [UInt8], at capability: Int) {
    func load(_ offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[capability + offset + $1]) << UInt32($1 * 8) }
    }
    vectorCount = Int(load(0) >> 16 & 0x7ff) + 1
    tableBAR = Int(load(4) & 7)
    tableOffset = UInt64(load(4) & ~7)
    pendingBAR = Int(load(8) & 7)
    pendingOffset = UInt64(load(8) & ~7)
  }

  /// The length of the table in bytes.
  var tableByteCount: UInt64 { UInt64(vectorCount * MSIXTable.entryByteCount) }
  /// The length of the pending bits in bytes.
  var pendingByteCount: UInt64 { UInt64((vectorCount + 63) / 64 * 8) }

  /// Checks that both lie in memory windows of the device and apart from each other.
  func check(_ windows: [Int: (byteCount: UInt64, isPort: Bool)]) throws(MachineError) {
    func contains(_ bar: Int, _ offset: UInt64, _ byteCount: UInt64) -> Bool {
      guard let window = windows[bar], !window.isPort else { return false }
      return offset <= window.byteCount && byteCount <= window.byteCount - offset
    }
    let isApart =
      tableBAR != pendingBAR || tableOffset + tableByteCount <= pendingOffset
      || pendingOffset + pendingByteCount <= tableOffset
    guard contains(tableBAR, tableOffset, tableByteCount),
      contains(pendingBAR, pendingOffset, pendingByteCount), isApart
    else { throw MachineError(.badDevice, "the MSI-X table lies outside the device's memory") }
  }
}
