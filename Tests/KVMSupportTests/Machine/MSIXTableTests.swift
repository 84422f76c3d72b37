import Testing

@testable import KVMSupport

@Suite struct MSIXTableTests {
  @Test("E6: a table begins masked, and holds what drivers may write")
  func writing() {
    var table = MSIXTable(vectorCount: 4)
    #expect((0..<4).allSatisfy(table.isMasked))
    #expect(table.write(0xfee0_1003, at: 16, byteCount: 4) == 1..<2)
    #expect(table.write(0x4_0000_0041, at: 24, byteCount: 8) == 1..<2)
    #expect(table.message(1) == InterruptMessage(address: 0xfee0_1000, data: 0x41))
    #expect(table.message(1).vector == 0x41 && table.message(1).destination == 1)
    #expect(!table.isMasked(1) && table.isMasked(0))
    #expect(table.read(at: 28, byteCount: 4) == 0)
    // Eight bytes that touch two entries.
    #expect(table.write(0, at: 44, byteCount: 8) == 2..<4)
    #expect(!table.isMasked(2))
    #expect(table.write(0, at: 60, byteCount: 8) == 3..<4)
    #expect(table.write(0, at: 64, byteCount: 4).isEmpty)
    #expect(table.isUsed(1) && !table.isUsed(0))
  }

  @Test("E16: a table that leaves its window is refused")
  func places() throws {
    var bytes = [UInt8](repeating: 0, count: 256)
    func layout(_ count: Int, table: UInt32, pending: UInt32) -> MSIXLayout {
      (bytes[0x42], bytes[0x43]) = (UInt8((count - 1) & 0xff), UInt8((count - 1) >> 8))
      for index in 0..<4 {
        bytes[0x44 + index] = UInt8(truncatingIfNeeded: table >> (8 * index))
        bytes[0x48 + index] = UInt8(truncatingIfNeeded: pending >> (8 * index))
      }
      return MSIXLayout(bytes, at: 0x40)
    }
    let windows: [Int: (byteCount: UInt64, isPort: Bool)] = [0: (4096, false), 1: (4096, true)]
    let good = layout(128, table: 0, pending: 0x800)
    #expect(good.vectorCount == 128 && good.pendingByteCount == 16)
    try good.check(windows)
    for wrong in [
      layout(2048, table: 0, pending: 0), layout(16, table: 0xff0, pending: 0),
      layout(16, table: 1, pending: 0x800), layout(16, table: 2, pending: 0x800),
      layout(16, table: 0, pending: 0xff8 + 8), layout(16, table: 0, pending: 0x80),
    ] {
      #expect(throws: MachineError.self) { try wrong.check(windows) }
    }
  }
}
