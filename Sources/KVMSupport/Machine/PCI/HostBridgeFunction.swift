/// The function 00:00.0: a host bridge with no registers of its own.
///
/// It is there because guests take a bus without one for broken.
final class HostBridgeFunction: PCIBusFunction {
  /// The header, by dword: identity, class "host bridge".
  private static let registers: [Int: UInt32] = [0x00: 0x0600_1234, 0x08: 0x0600_0000]

  func readConfiguration(at offset: Int, byteCount: Int) -> UInt32? {
    let value = Self.registers[offset & ~3] ?? 0
    return (value >> (UInt32(offset & 3) * 8)).truncated(toByteCount: byteCount)
  }

  func writeConfiguration(_ value: UInt32, at offset: Int, byteCount: Int) -> Bool {
    // Nothing can be written.
    true
  }
}
