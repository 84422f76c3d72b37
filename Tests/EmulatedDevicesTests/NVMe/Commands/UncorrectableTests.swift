import BlockStorage
import Testing

@testable import EmulatedDevices

@Suite("NVMe uncorrectable blocks")
struct UncorrectableTests {
  @Test("E9: a driver cannot have the device remember ranges without end")
  func bound() throws {
    let namespace = NVMeNamespace(
      identifier: 1, storage: NullStorage(byteCount: 1 << 30), blockByteCount: 512, serial: "1")
    let limit = UInt64(UncorrectableBlocks.rangeLimit)
    for index in 0..<limit {
      try #require(namespace.markUncorrectable(index * 2..<index * 2 + 1))
    }
    #expect(!namespace.markUncorrectable(limit * 2..<limit * 2 + 1))
    #expect(namespace.firstUncorrectable(in: limit * 2 - 2..<limit * 2 + 1) == limit * 2 - 2)
    #expect(namespace.firstUncorrectable(in: limit * 2 - 1..<limit * 2 + 1) == nil)
    // Room again.
    namespace.markWritten(0..<1)
    #expect(namespace.markUncorrectable(limit * 2..<limit * 2 + 1))
  }
}
