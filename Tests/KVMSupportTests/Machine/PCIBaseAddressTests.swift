import Testing

@testable import KVMSupport

@Suite struct PCIBaseAddressTests {
  @Test("A window is a power of two that holds the region")
  func size() throws {
    func byteCount(_ value: UInt32, _ region: UInt64) throws -> UInt64 {
      try PCIBaseAddress(index: 0, value: value, regionByteCount: region).byteCount
    }
    #expect(try byteCount(0, 4096) == 4096)
    #expect(try byteCount(0, 4097) == 8192)
    #expect(try byteCount(0, 1) == 16)
    #expect(try byteCount(1, 1) == 4)
    #expect(try byteCount(1, 8) == 8)
    #expect(try byteCount(4, 1 << 40) == 1 << 40)
  }

  @Test("A region that no window can hold is refused")
  func limits() {
    for (value, region) in [(0, 1 << 32), (1, 1 << 16), (4, 1 << 60), (0, 0)] as [(UInt32, UInt64)]
    {
      #expect(throws: MachineError.self) {
        try PCIBaseAddress(index: 0, value: value, regionByteCount: region)
      }
    }
    // The last register has no partner.
    #expect(throws: MachineError.self) {
      try PCIBaseAddress(index: 5, value: 4, regionByteCount: 1 << 33)
    }
  }

  @Test("Only whole addresses that end below the top count")
  func addresses() throws {
    let memory = try PCIBaseAddress(index: 0, value: 0xe000_0008, regionByteCount: 1 << 20)
    #expect(memory.typeBits == 8 && !memory.is64Bit && !memory.isPort)
    #expect(memory.writable == 0xfff0_0000)
    #expect(memory.address(raw: 0xe010_0008) == GuestAddress(0xe010_0000))
    #expect(memory.address(raw: 8) == nil)
    #expect(memory.address(raw: 0xffff_ffff) == nil)
    let wide = try PCIBaseAddress(index: 2, value: 4, regionByteCount: 1 << 16)
    #expect(wide.is64Bit && wide.writable == ~0xffff)
    #expect(wide.address(raw: 0x12_3456_0004) == GuestAddress(0x12_3456_0000))
    #expect(wide.address(raw: .max) == nil)
    #expect(wide.address(raw: 0xffff_0004) == GuestAddress(0xffff_0000))
    let port = try PCIBaseAddress(index: 1, value: 1, regionByteCount: 16)
    #expect(port.isPort && port.address(raw: 0xc001) == GuestAddress(0xc000))
    #expect(port.address(raw: 0x1_c001) == nil)
    #expect(port.address(raw: 0xffff_fff1) == nil)
  }
}
