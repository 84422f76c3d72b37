import Testing

@testable import DeviceModel

@Suite("Decoding PCI configuration space")
struct PCIConfigurationDecoderTests {
  @Test("a function with everything is decoded in full")
  func everything() throws {
    let bench = try PCIBench(.everything())
    try bench.setCommand([.busMaster, .memorySpace])
    try bench.store(0x10, UInt64(0x12_3450_0000))
    let bytes = try bench.read(7, at: 0, byteCount: 4096)
    let report = PCIConfigurationDecoder(bytes, regionByteCounts: [0: 1 << 20, 6: 4096]).decode()
    #expect(
      report.sections.map(\.title) == [
        "Header", "Power Management", "PCI Express", "Vendor Specific", "MSI", "MSI-X",
        "Advanced Error Reporting", "Device Serial Number", "Vendor Specific Information",
      ])
    let text = report.text
    for line in [
      "  Device: 1234:abcd\n", "  Subsystem: 5678:9abc\n",
      "  Class: NVM Express controller [010802]\n",
      "  Command: I/O- Mem+ BusMaster+ SpecCycle- MemWINV- VGASnoop- ParErr- SERR- FastB2B- DisINTx-\n",
      "  Interrupt: pin A routed to IRQ 0\n",
      "  Region 0: Memory at 0000001234500000 (64-bit, non-prefetchable) [size=1M]\n",
      "  Region 2: I/O ports at 0000\n",
      "  Region 4: Memory at 0000000000000000 (64-bit, prefetchable)\n",
      "  Expansion ROM: at 00000000 [disabled] [size=4K]\n",
      "Capability [40] Power Management\n", "  Version: 3\n",
      "  Status: D0 NoSoftRst- PME-Enable- PME-\n",
      "  Port: Endpoint\n", "  Link status: 2.5 GT/s, width x1\n",
      "  Vectors: 1 of 4\n", "  Vectors: 4\n", "  Table: BAR 3 offset 00000000\n",
      "  Pending bits: BAR 3 offset 00008000\n",
      "Capability [100] Advanced Error Reporting\n",
      "  Serial number: 00-11-22-33-44-55-66-77\n", "  ID: 0042\n",
    ] {
      #expect(text.contains(line), "\(line)")
    }
    #expect(report.json.text.contains("\"title\":\"MSI-X\""))
  }

  @Test("loops, dead ends and short reads are survived")
  func hostile() {
    var bytes = [UInt8](repeating: 0, count: 4096)
    bytes[6] = 0x10
    bytes[0x34] = 0x40
    bytes[0x40] = 0x01
    bytes[0x41] = 0x40
    bytes[0x100] = 3
    bytes[0x102] = 0x01
    bytes[0x103] = 0x10
    let report = PCIConfigurationDecoder(bytes).decode()
    #expect(report.sections.filter { $0.title == "Chain" }.count == 2)
    for count in [0, 1, 63, 64, 65, 255, 256] {
      _ = PCIConfigurationDecoder(Array(bytes.prefix(count))).decode().text
    }
  }

  @Test("random bytes are decoded without a trap", arguments: 1...50)
  func random(seed: Int) {
    var generator = SeededGenerator(state: UInt64(seed))
    let count = [64, 256, 300, 4096].randomElement(using: &generator) ?? 64
    let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    #expect(!PCIConfigurationDecoder(bytes).decode().text.isEmpty)
  }
}
