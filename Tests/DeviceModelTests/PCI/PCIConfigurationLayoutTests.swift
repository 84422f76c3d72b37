import Testing

@testable import DeviceModel

@Suite("PCI configuration space of a declared function")
struct PCIConfigurationLayoutTests {
  @Test("the header says what the identity says")
  func header() throws {
    let bench = try PCIBench(.everything())
    let bytes = try bench.read(7, at: 0, byteCount: 64)
    #expect(
      bytes == [
        0x34, 0x12, 0xcd, 0xab, 0x00, 0x00, 0x10, 0x00,  // vendor, device, command, status
        0x03, 0x02, 0x08, 0x01, 0x00, 0x00, 0x00, 0x00,  // revision, class, cache line, header
        0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // BAR 0, 64-bit
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // BAR 2, I/O; BAR 3
        0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // BAR 4, 64-bit, prefetchable
        0x00, 0x00, 0x00, 0x00, 0x78, 0x56, 0xbc, 0x9a,  // subsystem
        0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00,  // ROM, capabilities
        0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00,  // interrupt pin
      ])
  }

  @Test("BARs answer a write of all ones with their size")
  func sizing() throws {
    let bench = try PCIBench(.everything())
    for offset in stride(from: 0x10, through: 0x24, by: 4) { try bench.store(offset, UInt32.max) }
    try bench.store(0x30, UInt32.max)
    #expect(try bench.load(0x10, as: UInt64.self) == 0xffff_ffff_fff0_0004)
    #expect(try bench.load(0x18, as: UInt32.self) == 0xffff_ffe1)
    #expect(try bench.load(0x1c, as: UInt32.self) == 0xffff_0000)
    #expect(try bench.load(0x20, as: UInt64.self) == 0xffff_fffe_0000_000c)
    #expect(try bench.load(0x30, as: UInt32.self) == 0xffff_f001)
    try bench.store(0x10, UInt64(0x1234_5678_9ab0_0000))
    #expect(try bench.load(0x10, as: UInt64.self) == 0x1234_5678_9ab0_0004)
  }

  @Test("the chain holds every capability once, aligned, in the order of the declaration")
  func chain() throws {
    let bench = try PCIBench(.everything())
    var identifiers: [UInt8] = []
    var offset = Int(try bench.load(0x34, as: UInt8.self))
    while offset != 0, identifiers.count < 20 {
      #expect(offset % 4 == 0)
      identifiers.append(try bench.load(offset, as: UInt8.self))
      offset = Int(try bench.load(offset + 1, as: UInt8.self))
    }
    #expect(identifiers == [0x01, 0x10, 0x09, 0x05, 0x11])

    var extended: [UInt16] = []
    offset = 0x100
    while offset != 0, extended.count < 20 {
      let header = try bench.load(offset, as: UInt32.self)
      extended.append(UInt16(truncatingIfNeeded: header))
      offset = Int(header >> 20)
    }
    #expect(extended == [0x0001, 0x0003, 0x000b])
  }

  @Test("a capability lies where it is asked to, and the others go around it")
  func fixedOffset() throws {
    let layout = try PCIConfigurationLayout(
      hardware: PCIHardware(
        identity: PCIIdentity(vendor: 1, device: 2), bars: [],
        interrupts: PCIInterrupts(msi: .init()),
        capabilities: [.pciExpress(), .powerManagement(at: 0x50)]))
    #expect(layout.powerManagement == 0x50)
    #expect(layout.pciExpress == 0x58)
    #expect(layout.msi == 0x40)
  }

  @Test("vendor bytes are writable where declared, and the device hears of writes")
  func vendorCapability() throws {
    let bench = try PCIBench(.everything())
    let offset = try #require(bench.capabilities.placed.first { $0.name == "Vendor Specific" })
      .offset
    try bench.write(7, at: offset + 3, [0xaa, 0xbb, 0xcc])
    #expect(try bench.read(7, at: offset + 2, byteCount: 6) == [8, 1, 0xbb, 3, 4, 5])
    #expect(bench.device.written == [offset + 3..<offset + 6])
  }

  @Test("the ROM is readable memory with zeros after the image")
  func rom() throws {
    let bench = try PCIBench(.everything())
    #expect(bench.function.layout.regions[6].byteCount == 4096)
    try bench.write(6, at: 0, [0])
    #expect(try bench.read(6, at: 0, byteCount: 3) == [0x55, 0xaa, 7])
    #expect(try bench.read(6, at: 3001, byteCount: 3) == [7, 0, 0])
  }

  @Test("clients see nine regions and five interrupt types")
  func deviceLayout() throws {
    let layout = try PCIBench(.everything()).function.layout
    #expect(layout.flags == [.pci, .reset])
    #expect(
      layout.regions.map(\.byteCount) == [1 << 20, 0, 32, 1 << 16, 1 << 33, 0, 4096, 4096, 0])
    #expect(layout.interrupts.map(\.count) == [1, 4, 4, 1, 1])
    #expect(layout.interrupts[0].flags == [.eventfd, .maskable, .automasked])
  }

  @Test("plain memory in a BAR reads back; the rest of the window reads 0")
  func memory() throws {
    let bench = try PCIBench(.everything())
    try bench.store(0, 0x1ffc, UInt64.max)
    #expect(try bench.load(0, 0x1ff8, as: UInt64.self) == 0xffff_ffff_0000_0000)
    #expect(try bench.load(0, 0x2000, as: UInt32.self) == 0)
    let memory = try bench.function.memory("Scratch", in: 0)
    memory.replace(at: 0, with: [1, 2])
    #expect(try bench.load(0, 0x1000, as: UInt16.self) == 0x0201)
  }

  @Test("256 bytes of conventional space end at 256")
  func conventional() throws {
    let bench = try PCIBench(
      PCIHardware(identity: PCIIdentity(vendor: 1, device: 2), bars: []))
    #expect(try bench.read(7, at: 0, byteCount: 256).count == 256)
    #expect(throws: Errno.invalidArgument) { try bench.read(7, at: 254, byteCount: 4) }
    // Nothing to decode, no pin: those command bits do not exist.
    try bench.store(4, UInt16.max)
    #expect(try bench.load(4, as: UInt16.self) == 0x0144)
  }
}
