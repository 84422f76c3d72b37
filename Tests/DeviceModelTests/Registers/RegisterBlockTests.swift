import DeviceModel
import Testing
import VFIOUser

@Suite("Register blocks")
struct RegisterBlockTests {
  @Test("Q8: a realised block starts with its reset values")
  func resetValues() throws {
    let block = try RegisterBlock<SampleRegister>()
    #expect(block[.identification] == 0x0100_00ed)
    #expect(try block.read(0x18, bytes: 8) == 0x1122_3344_5566_7788)
    #expect(block.byteCount == 0x44)
  }

  @Test("E1: read-only registers ignore writes")
  func readOnly() throws {
    let block = try RegisterBlock<SampleRegister>()
    try block.write(0xffff_ffff, 0x00, bytes: 4)
    #expect(try block.read(0x00, bytes: 4) == 0x0100_00ed)
  }

  @Test("E1: write-one-to-clear and write-one-to-set act on ones alone")
  func writeOne() throws {
    let block = try RegisterBlock<SampleRegister>()
    try block.write(0x8000_0001, 0x08, bytes: 4)
    #expect(block[.status] == 0x7fff_0000)
    try block.write(0x11, 0x0c, bytes: 4)
    try block.write(0x22, 0x0c, bytes: 4)
    #expect(block[.raise] == 0x33)
  }

  @Test("E1: a read of a read-to-clear register clears the bytes that it covers")
  func readToClear() throws {
    let block = try RegisterBlock<SampleRegister>()
    #expect(try block.read(0x11, bytes: 1) == 0x56)
    #expect(try block.read(0x10, bytes: 4) == 0x1234_0078)
    #expect(try block.read(0x10, bytes: 4) == 0)
  }

  @Test("E1: a write-only register reads 0 and keeps what was written for the device")
  func writeOnly() throws {
    let block = try RegisterBlock<SampleRegister>()
    try block.write(0xcafe, 0x14, bytes: 4)
    #expect(try block.read(0x14, bytes: 4) == 0)
    #expect(block[.command] == 0xcafe)
  }

  @Test("E1: every offset and width matches the naive model", arguments: 1...16)
  func everyWidthAndAlignment(count: Int) throws {
    for offset in 0..<0x48 {
      let block = try RegisterBlock<SampleRegister>()
      var model = NaiveRegisters(SampleRegister.declarations, byteCount: 0x44)
      let written = (0..<count).map { UInt8(truncatingIfNeeded: 0x9d &+ $0 &* 0x3b) }
      try block.storeBytes(written, at: RegionOffset(UInt64(offset)))
      model.write(written, offset)
      for _ in 0..<2 {
        let read = try block.loadBytes(at: RegionOffset(UInt64(offset)), byteCount: count)
        #expect(read == model.read(offset, bytes: count), "offset \(offset)")
      }
    }
  }

  @Test("E1: seeded random accesses match the naive model", arguments: [1, 2, 3, 4] as [UInt64])
  func randomAccesses(seed: UInt64) throws {
    var random = SeededGenerator(state: seed)
    let block = try RegisterBlock<SampleRegister>(byteCount: 0x60)
    var model = NaiveRegisters(SampleRegister.declarations, byteCount: 0x60)
    for step in 0..<4000 {
      let offset = Int.random(in: 0..<0x62, using: &random)
      let count =
        random.next() % 8 == 0
        ? Int.random(in: 0...40, using: &random) : 1 << Int.random(in: 0...3, using: &random)
      if random.next() & 1 == 0 {
        let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
        try block.storeBytes(bytes, at: RegionOffset(UInt64(offset)))
        model.write(bytes, offset)
      } else {
        let bytes = try block.loadBytes(at: RegionOffset(UInt64(offset)), byteCount: count)
        try #require(bytes == model.read(offset, bytes: count), "seed \(seed) step \(step)")
      }
    }
  }

  @Test(
    "E17: offsets outside the block read 0 and ignore writes",
    arguments: [0x44, 0x1000, UInt64(Int.max), UInt64(Int.max) - 3, UInt64.max, UInt64.max - 3])
  func outside(offset: UInt64) throws {
    let block = try RegisterBlock<SampleRegister>(wideAccess: .refuse, smallestAccess: 4)
    let before = block.savedValues.map(\.value)
    var bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    try block.storeBytes(bytes, at: RegionOffset(offset))
    bytes = try block.loadBytes(at: RegionOffset(offset), byteCount: 8)
    #expect(bytes == Array(repeating: 0, count: 8))
    #expect(block.savedValues.map(\.value) == before)
  }

  @Test("E1: a wide access is refused whole where the block says so")
  func refusesWideAccesses() throws {
    let block = try RegisterBlock<SampleRegister>(wideAccess: .refuse)
    #expect(throws: Errno.invalidArgument) { try block.read(0x00, bytes: 8) }
    #expect(throws: Errno.invalidArgument) { try block.write(0, 0x04, bytes: 8) }
    #expect(throws: Errno.invalidArgument) { try block.read(0x06, bytes: 4) }
    // One register and an undeclared byte: also wider than the register.
    #expect(throws: Errno.invalidArgument) { try block.read(0x27, bytes: 2) }
    #expect(try block.read(0x10, bytes: 4) == 0x1234_5678)
    #expect(try block.read(0x1c, bytes: 4) == 0x1122_3344)
    #expect(try block.read(0x28, bytes: 8) == 0)
  }

  @Test("E1: an access below the smallest width is refused, a whole narrow register is not")
  func refusesNarrowAccesses() throws {
    let block = try RegisterBlock<SampleRegister>(smallestAccess: 4)
    #expect(throws: Errno.invalidArgument) { try block.read(0x00, bytes: 2) }
    #expect(throws: Errno.invalidArgument) { try block.write(1, 0x05, bytes: 1) }
    #expect(try block.read(0x1c, bytes: 4) == 0x1122_3344)
    #expect(try block.read(0x24, bytes: 2) == 0xbeef)
  }

  @Test("E1: array elements are registers of their own")
  func arrays() throws {
    let block = try RegisterBlock<SampleRegister>()
    try block.write(7, 0x38, bytes: 4)
    #expect(block[.doorbell, 1] == 7)
    #expect(block[.doorbell, 0] == 0)
    #expect(try block.read(0x34, bytes: 4) == 0)
  }

  @Test("Q8: traces name the register at an offset")
  func names() throws {
    let block = try RegisterBlock<SampleRegister>()
    #expect(block.name(at: RegionOffset(0x08)) == "STS")
    #expect(block.name(at: RegionOffset(0x0a)) == "STS+2")
    #expect(block.name(at: RegionOffset(0x40)) == "DBL[2]")
    #expect(block.name(at: RegionOffset(0x34)) == "0x0034")
    #expect(block.name(at: RegionOffset(.max)) == "0xffffffffffffffff")
  }

  @Test("Q9: saved values restore into another block")
  func savedValues() throws {
    let block = try RegisterBlock<SampleRegister>()
    try block.write(0xabcd, 0x04, bytes: 4)
    try block.write(9, 0x40, bytes: 4)
    let other = try RegisterBlock<SampleRegister>()
    try other.restore(block.savedValues)
    #expect(other[.control] == 0xabcd)
    #expect(other[.doorbell, 2] == 9)
    #expect(block.savedValues.map(\.acronym).suffix(3) == ["DBL[0]", "DBL[1]", "DBL[2]"])
  }

  @Test("Q9: values that do not fit are refused and change nothing")
  func refusesMisfits() throws {
    let block = try RegisterBlock<SampleRegister>(name: "sample")
    let unknown = #expect(throws: RegisterStateError.self) {
      try block.restore([("CTL", 1), ("NOPE", 2)])
    }
    #expect(unknown?.description == "sample: saved register NOPE does not exist")
    let wide = #expect(throws: RegisterStateError.self) {
      try block.restore([("CTL", 1), ("HALF", 0x10000)])
    }
    #expect(wide?.description == "sample: saved HALF is 0x10000, wider than 2 bytes")
    #expect(block[.control] == 0)
  }

  @Test("Q7: a realised block can take reset values and array lengths from knobs")
  func adjusts() throws {
    let block = try RegisterBlock<SampleRegister> { register, declaration in
      if register == .doorbell { declaration.array?.count = 64 }
      if register == .identification { declaration.resetValue = 2 }
    }
    #expect(block[.identification] == 2)
    try block.write(5, 0x30 + 63 * 8, bytes: 4)
    #expect(block[.doorbell, 63] == 5)
  }
}
