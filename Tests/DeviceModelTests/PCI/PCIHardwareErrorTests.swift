import Testing

@testable import DeviceModel

@Suite("Mistakes in PCI hardware declarations")
struct PCIHardwareErrorTests {
  private func code(
    vendor: UInt16 = 0x1234, _ bars: [BAR] = [], _ interrupts: PCIInterrupts = .none,
    _ capabilities: [PCICapability] = [], extended: [PCIExtendedCapability] = [],
    rom: PCIExpansionROM? = nil
  ) -> PCIHardwareError.Code? {
    do {
      try PCIHardware(
        identity: PCIIdentity(vendor: vendor, device: 1), bars: bars, interrupts: interrupts,
        capabilities: capabilities, extendedCapabilities: extended, expansionROM: rom
      ).validate()
      return nil
    } catch {
      #expect(!error.description.isEmpty)
      return error.code
    }
  }

  @Test("a vendor of all ones is refused")
  func identity() { #expect(code(vendor: 0xffff) == .badIdentity) }

  @Test("BARs that cannot be are refused")
  func bars() {
    #expect(code([BAR(0, .memory32, byteCount: 3000, [])]) == .badBARSize)
    #expect(code([BAR(0, .memory32, byteCount: 8, [])]) == .badBARSize)
    #expect(code([BAR(0, .io, byteCount: 2, [])]) == .badBARSize)
    #expect(code([BAR(0, .memory32, byteCount: 1 << 32, [])]) == .badBARSize)
    #expect(code([BAR(6, .memory32, byteCount: 4096, [])]) == .badBARIndex)
    #expect(code([BAR(5, .memory64, byteCount: 4096, [])]) == .badBARIndex)
    #expect(
      code([BAR(0, .memory64, byteCount: 4096, []), BAR(1, .io, byteCount: 16, [])])
        == .badBARIndex)
    #expect(
      code([BAR(0, .io, byteCount: 4, []), BAR(1, .memory64, byteCount: 1 << 40, [])]) == nil)
  }

  @Test("contents that overlap or do not fit are refused")
  func contents() {
    let first = BARContent.memory("First", byteCount: 0x100, "Memory.")
    #expect(code([BAR(0, .memory32, byteCount: 0x80, [first])]) == .badContent)
    let second = BARContent.memory("Second", at: 0xff, byteCount: 1, "Memory.")
    #expect(code([BAR(0, .memory32, byteCount: 0x100, [first, second])]) == .badContent)
    let wrapping = BARContent.memory("Wrapping", at: .max, byteCount: 2, "Memory.")
    #expect(code([BAR(0, .memory32, byteCount: 0x100, [wrapping])]) == .badContent)
    let again = BARContent.memory("First", at: 0x100, byteCount: 1, "Memory.")
    #expect(code([BAR(0, .memory32, byteCount: 0x200, [first, again])]) == .badContent)
  }

  @Test("numbers of vectors that cannot be are refused")
  func vectors() {
    #expect(code([], PCIInterrupts(msi: .init(vectorCount: 3))) == .badVectorCount)
    #expect(code([], PCIInterrupts(msi: .init(vectorCount: 64))) == .badVectorCount)
    let bars = [BAR(0, .memory32, byteCount: 1 << 16, []), BAR(1, .io, byteCount: 64, [])]
    func msix(_ count: Int, _ bar: Int, _ offset: UInt64) -> PCIInterrupts {
      PCIInterrupts(
        msix: .init(
          vectorCount: count, table: .bar(bar, at: offset), pendingBits: .bar(0, at: 0xf000)))
    }
    #expect(code(bars, msix(2048, 0, 0)) == nil)
    #expect(code(bars, msix(2049, 0, 0)) == .badVectorCount)
    #expect(code(bars, msix(1, 1, 0)) == .badMSIXPlace)
    #expect(code(bars, msix(1, 2, 0)) == .badMSIXPlace)
    #expect(code(bars, msix(1, 0, 4)) == .badMSIXPlace)
    #expect(code(bars, msix(1, 0, 0xf000)) == .badContent)
    #expect(code(bars, msix(1, 0, 0x1_0000)) == .badContent)
  }

  @Test("capabilities that overlap, repeat, do not fit or lack their base are refused")
  func capabilities() {
    #expect(
      code([], .none, [.powerManagement(at: 0x40), .pciExpress(at: 0x44)]) == .badCapability)
    #expect(code([], .none, [.powerManagement(at: 0x42)]) == .badCapability)
    #expect(code([], .none, [.powerManagement(at: 0x3c)]) == .badCapability)
    #expect(code([], .none, [.powerManagement(at: 0xfc)]) == .badCapability)
    #expect(code([], .none, [.powerManagement(), .powerManagement()]) == .badCapability)
    let full = [UInt8](repeating: 0, count: 189)
    #expect(code([], .none, [.vendor(full)]) == nil)
    #expect(code([], .none, [.vendor(full + [0])]) == .badCapability)
    #expect(code([], .none, [.vendor(full), .powerManagement()]) == .badCapability)
    #expect(code([], .none, [.pciExpress()], extended: [.deviceSerialNumber(1)]) == .badCapability)
  }

  @Test("an empty ROM is refused")
  func rom() { #expect(code(rom: PCIExpansionROM(image: [])) == .badExpansionROM) }

  @Test("a window that the device answers itself needs a handler")
  func handlers() throws {
    let hardware = PCIHardware(
      identity: PCIIdentity(vendor: 1, device: 1),
      bars: [BAR(0, .memory32, byteCount: 4096, [.handler("Own", byteCount: 16, "Own.")])])
    #expect(throws: PCIHardwareError.self) { try PCIBench(hardware) }
    let memory = DeviceMemory(readOnly: [9])
    let bench = try PCIBench(hardware) { try $0.setHandler(memory, for: "Own", in: 0) }
    #expect(try bench.read(0, at: 0, byteCount: 2) == [9, 0])
    #expect(throws: PCIHardwareError.self) {
      try PCIBench(hardware) { try $0.setHandler(memory, for: "Other", in: 0) }
    }
  }
}
