import Synchronization
import Testing

@testable import KVMSupport

@Suite struct PCIHostBridgeTests {
  /// A function whose byte at offset n is n, and that notes what is written.
  private final class Counting: PCIBusFunction {
    let writes = Mutex<[(UInt32, Int, Int)]>([])

    func readConfiguration(at offset: Int, byteCount: Int) -> UInt32? {
      (0..<byteCount).reduce(0) { $0 | UInt32(offset + $1) << UInt32($1 * 8) }
    }

    func writeConfiguration(_ value: UInt32, at offset: Int, byteCount: Int) -> Bool {
      writes.withLock { $0.append((value, offset, byteCount)) }
      return true
    }
  }

  private let bridge = PCIHostBridge()
  private let function = Counting()

  private func attach(_ text: String) throws {
    try bridge.attach(function, at: try #require(PCIAddress(text)))
  }

  private func select(_ device: UInt64, _ offset: UInt64, function: UInt64 = 0) {
    bridge.write(1 << 31 | device << 11 | function << 8 | offset, at: 0, byteCount: 4)
  }

  @Test(
    "Configuration ports reach bytes, words and dwords at any alignment",
    arguments: [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2), (0, 4)])
  func widths(_ place: Int, _ byteCount: Int) throws {
    try attach("00:03.0")
    select(3, 0x40)
    let expected = (0..<byteCount).reduce(UInt64(0)) {
      $0 | UInt64(0x40 + place + $1) << UInt64($1 * 8)
    }
    #expect(bridge.read(at: UInt64(4 + place), byteCount: byteCount) == expected)
    bridge.write(0xffff_ffff_8765_4321, at: UInt64(4 + place), byteCount: byteCount)
    let write = try #require(function.writes.withLock { $0.first })
    #expect(write.0 == UInt32(0x8765_4321).truncated(toByteCount: byteCount))
    #expect(write.1 == 0x40 + place && write.2 == byteCount)
  }

  @Test("The address port is read back, and takes dwords alone")
  func addressPort() {
    bridge.write(0xff01_23ff, at: 0, byteCount: 4)
    #expect(bridge.read(at: 0, byteCount: 4) == 0x8001_23fc)
    bridge.write(0, at: 0, byteCount: 1)
    bridge.write(6, at: 1, byteCount: 1)
    #expect(bridge.read(at: 0, byteCount: 4) == 0x8001_23fc)
    #expect(bridge.read(at: 1, byteCount: 2) == 0x0123)
  }

  @Test("Nothing answers without the enable bit, or where no function is")
  func nobody() throws {
    try attach("00:03.0")
    bridge.write(3 << 11, at: 0, byteCount: 4)
    #expect(bridge.read(at: 4, byteCount: 4) == 0xffff_ffff)
    select(4, 0)
    #expect(bridge.read(at: 4, byteCount: 2) == 0xffff)
    select(3, 0, function: 1)
    #expect(bridge.read(at: 4, byteCount: 4) == 0xffff_ffff)
    bridge.write(1 << 31 | 1 << 16 | 3 << 11, at: 0, byteCount: 4)
    #expect(bridge.read(at: 4, byteCount: 4) == 0xffff_ffff)
    bridge.write(0, at: 4, byteCount: 4)
    #expect(function.writes.withLock { $0.isEmpty })
  }

  @Test("The bridge itself is a host bridge that ignores writes")
  func itself() {
    select(0, 8)
    #expect(bridge.read(at: 6, byteCount: 2) == 0x0600)
    bridge.write(0, at: 4, byteCount: 4)
    #expect(bridge.read(at: 6, byteCount: 2) == 0x0600)
    select(0, 0)
    #expect(bridge.read(at: 4, byteCount: 4) != 0xffff_ffff)
  }

  @Test("A slot is given once, and there is only bus 0")
  func places() throws {
    #expect(bridge.freeAddress == PCIAddress(device: 1))
    try attach("00:01.0")
    #expect(bridge.freeAddress == PCIAddress(device: 2))
    #expect(throws: MachineError.self) { try attach("00:01.0") }
    #expect(throws: MachineError.self) { try attach("00:00.0") }
    let error = #expect(throws: MachineError.self) { try attach("01:00.0") }
    #expect(error?.code == .badAddress && error?.description.contains("only bus 0") == true)
    bridge.detach(at: try #require(PCIAddress(device: 1)))
    #expect(bridge.freeAddress == PCIAddress(device: 1))
  }

  @Test("Function 0 says so when its device has others, and a device without function 0 is known")
  func functions() throws {
    try attach("00:02.0")
    select(2, 0x0c)
    #expect(bridge.read(at: 6, byteCount: 1) == 0x0e)
    try attach("00:02.3")
    #expect(bridge.read(at: 6, byteCount: 1) == 0x8e)
    #expect(bridge.read(at: 4, byteCount: 4) == 0x0f8e_0d0c)
    #expect(bridge.hiddenAddress == nil)
    try attach("00:05.1")
    #expect(bridge.hiddenAddress == PCIAddress(device: 5, function: 1))
  }
}
