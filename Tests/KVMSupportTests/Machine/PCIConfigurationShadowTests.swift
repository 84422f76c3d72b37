import Testing

@testable import KVMSupport

@Suite struct PCIConfigurationShadowTests {
  @Test("Kept bits are the guest's, the others the device's")
  func merging() {
    var shadow = PCIConfigurationShadow()
    shadow.define(at: 4, UInt16(0), kept: 0x0003, writable: 0x0002)
    #expect(shadow.merge(0x0010_0507, at: 4, byteCount: 4) == 0x0010_0504)
    shadow.write(0x0000_0407, at: 4, byteCount: 4)
    #expect(shadow.merge(0x0010_0500, at: 4, byteCount: 4) == 0x0010_0502)
    #expect(shadow.merge(0xff, at: 4, byteCount: 1) == 0xfe)
    #expect(shadow.load(at: 4, as: UInt16.self) == 2)
    #expect(!shadow.keepsAll(at: 4, byteCount: 2))
    shadow.reset()
    #expect(shadow.load(at: 4, as: UInt16.self) == 0)
  }

  @Test("A register can be written in parts, and only where it is writable")
  func parts() {
    var shadow = PCIConfigurationShadow()
    shadow.define(at: 0x10, UInt32(8), writable: 0xfffff000)
    #expect(shadow.keepsAll(at: 0x10, byteCount: 4))
    shadow.write(0xffff, at: 0x10, byteCount: 2)
    shadow.write(0xe0, at: 0x13, byteCount: 1)
    #expect(shadow.load(at: 0x10, as: UInt32.self) == 0xe000_f008)
    shadow.write(0x12, at: 0xfe, byteCount: 4)
    #expect(shadow.merge(0x12, at: 0xfe, byteCount: 4) == 0x12)
  }

  @Test("The interrupt line outlives a reset")
  func line() {
    var shadow = PCIConfigurationShadow()
    shadow.define(at: 0x3c, UInt8(10), writable: 0xff)
    shadow.write(7, at: 0x3c, byteCount: 1)
    shadow.reset()
    #expect(shadow.load(at: 0x3c, as: UInt8.self) == 7)
  }

  @Test("A chain of capabilities that loops or leaves the space ends")
  func chains() {
    var bytes = [UInt8](repeating: 0, count: 256)
    bytes[0x34] = 0x40
    (bytes[0x40], bytes[0x41]) = (0x05, 0x60)
    (bytes[0x60], bytes[0x61]) = (0x11, 0x40)
    #expect(PCICapabilityList(bytes).msi == nil)
    bytes[0x06] = 0x10
    let list = PCICapabilityList(bytes)
    #expect(list.msi == 0x40 && list.msix == 0x60 && list.pciExpress == nil)
    // Too near to the end to be whole.
    (bytes[0x61], bytes[0xfc], bytes[0xfd]) = (0xfc, 0x10, 0x08)
    #expect(PCICapabilityList(bytes).pciExpress == nil)
    (bytes[0x34], bytes[0x41]) = (0x40, 0x40)
    #expect(PCICapabilityList(bytes).msix == nil)
  }
}
