import Testing

@testable import KVMSupport

@Suite struct PCIAddressTests {
  @Test("An address is read and written as lspci does")
  func text() throws {
    let address = try #require(PCIAddress("00:1f.7"))
    #expect(address == PCIAddress(bus: 0, device: 31, function: 7))
    #expect("\(address)" == "00:1f.7")
    #expect(address.requester == 0xff)
    #expect(PCIAddress("3:a.0") == PCIAddress(bus: 3, device: 10))
  }

  @Test(
    "What is no address is refused",
    arguments: [
      "", "3", "00:03", "00:20.0", "00:03.8", "100:03.0", "00:03.0.1", "00:-3.0", "0x:3.0",
    ])
  func wrong(_ text: String) {
    #expect(PCIAddress(text) == nil)
  }
}
