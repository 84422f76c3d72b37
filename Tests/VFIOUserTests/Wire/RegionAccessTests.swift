import Testing

@testable import VFIOUser

@Suite("Region accesses")
struct RegionAccessTests {
  static let access = RegionAccess(offset: RegionOffset(0x10), region: 2, count: 4)
  static let bytes = hex("1000000000000000 02000000 04000000")

  @Test("REGION_READ and REGION_WRITE have the bytes of the specification")
  func golden() throws {
    let encoded = try [UInt8](byteCount: 16) { span throws(WireError) in
      try Self.access.encode(into: &span, at: 0)
    }
    #expect(encoded == Self.bytes)
    #expect(try RegionAccess.readRequest(Self.bytes.rawSpan, limit: 4) == Self.access)
    #expect(
      try RegionAccess.writeRequest((Self.bytes + [1, 2, 3, 4]).rawSpan, limit: 4) == Self.access)
  }

  @Test("E17: requests of a wrong length, beyond the limit or the address space are refused")
  func requestFaults() {
    for count in 0..<16 {
      let cut = Array(Self.bytes.prefix(count))
      #expect(throws: WireError.self) { try RegionAccess.readRequest(cut.rawSpan, limit: 100) }
      #expect(throws: WireError.self) { try RegionAccess.writeRequest(cut.rawSpan, limit: 100) }
    }
    #expect(throws: WireError(.oversized, "")) {
      try RegionAccess.readRequest((Self.bytes + [0]).rawSpan, limit: 100)
    }
    #expect(throws: WireError(.oversized, "")) {
      try RegionAccess.readRequest(Self.bytes.rawSpan, limit: 3)
    }
    for data in [[], [1, 2, 3], [1, 2, 3, 4, 5]] as [[UInt8]] {
      #expect(throws: WireError(.badCount, "")) {
        try RegionAccess.writeRequest((Self.bytes + data).rawSpan, limit: 100)
      }
    }
    #expect(throws: WireError(.badRange, "")) {
      try RegionAccess.readRequest(
        hex("fdffffffffffffff 02000000 04000000").rawSpan, limit: 100)
    }
  }

  @Test("E16: a reply for another access, or with more data than asked for, is refused")
  func replies() throws {
    let data: [UInt8] = [1, 2, 3, 4]
    let whole = try Self.access.readReply((Self.bytes + data).rawSpan)
    #expect([UInt8](copying: whole) == data)
    let short = try Self.access.readReply(hex("1000000000000000 02000000 02000000 0102").rawSpan)
    #expect([UInt8](copying: short) == [1, 2])
    let hostile = [
      hex("1000000000000000 02000000 05000000 0102030405"),
      hex("1000000000000000 02000000 04000000 010203"),
      hex("1000000000000000 02000000 04000000 0102030405"),
      hex("1100000000000000 02000000 04000000 01020304"),
      hex("1000000000000000 03000000 04000000 01020304"),
      hex("1000000000000000 02000000 ffffffff 01020304"),
      hex("1000000000000000 02000000"), [],
    ]
    for reply in hostile {
      #expect(throws: WireError.self) { _ = try Self.access.readReply(reply.rawSpan).byteCount }
    }
    #expect(try Self.access.writeReply(Self.bytes.rawSpan) == 4)
    for reply in hostile {
      #expect(throws: WireError.self) { try Self.access.writeReply(reply.rawSpan) }
    }
  }

  @Test("REGION_WRITE_MULTI has the bytes of the specification")
  func multi() throws {
    let message = RegionWriteMulti([
      RegionWriteMulti.Entry(offset: RegionOffset(0x10), region: 0, count: 4, data: 0xaabb_ccdd),
      RegionWriteMulti.Entry(offset: RegionOffset(0x20), region: 1, count: 8, data: .max),
    ])
    let golden =
      hex("0200000000000000")
      + hex("1000000000000000 00000000 04000000 ddccbbaa00000000")
      + hex("2000000000000000 01000000 08000000 ffffffffffffffff")
    try expectGolden(message, golden)
    #expect(try RegionWriteMulti.entryCount(in: golden.rawSpan) == 2)
    #expect(try RegionWriteMulti.entry(at: 1, in: golden.rawSpan) == message.entries[1])
    #expect(RegionWriteMulti.dataOffset(ofEntryAt: 1) == 48)
    try expectGolden(RegionWriteMultiReply(count: 2), hex("0200000000000000"))
  }

  @Test("E17: REGION_WRITE_MULTI whose count is not its content is refused")
  func multiFaults() throws {
    let golden =
      hex("0200000000000000")
      + hex("1000000000000000 00000000 04000000 ddccbbaa00000000")
      + hex("2000000000000000 01000000 08000000 ffffffffffffffff")
    expectRefusedWhenTruncated(golden, as: RegionWriteMulti.self)
    #expect(fault(golden + [0], as: RegionWriteMulti.self) == .badCount)
    for count: UInt32 in [0, 1, 3, .max] {
      #expect(fault(try patched(golden, count, at: 0), as: RegionWriteMulti.self) == .badCount)
    }
    #expect(fault(try patched(golden, .max, at: 4), as: RegionWriteMulti.self) == .badCount)
    #expect(fault(try patched(golden, 9, at: 20), as: RegionWriteMulti.self) == .badCount)
    let astray = try patched(try patched(golden, .max, at: 8), .max, at: 12)
    #expect(fault(astray, as: RegionWriteMulti.self) == .badRange)
    expectRefusedWhenTruncated(hex("0200000000000000"), as: RegionWriteMultiReply.self)
    #expect(fault(hex("0200000000000000 00"), as: RegionWriteMultiReply.self) == .oversized)
  }
}
