import Testing

@testable import VFIOUser

@Suite("DMA messages")
struct DMAMessageTests {
  static let map = DMAMapRequest(
    rights: [.read, .write], fileOffset: 0x1000, address: DMAAddress(0x1_0000_0000),
    byteCount: 0x20_0000)
  static let mapBytes = hex(
    "20000000 03000000 0010000000000000 0000000001000000 0000200000000000")
  static let unmap = DMAUnmapRequest(address: DMAAddress(0x1_0000_0000), byteCount: 0x20_0000)
  static let unmapBytes = hex("18000000 00000000 0000000001000000 0000200000000000")

  @Test("DMA_MAP has the bytes of the specification")
  func mapGolden() throws {
    try expectGolden(Self.map, Self.mapBytes)
    #expect(
      Self.map.frame(messageID: 1)
        == hex("0100 0200 30000000 00000000 00000000") + Self.mapBytes)
  }

  @Test("E17: DMA_MAP of a wrong length, argsz or flag is refused")
  func mapFaults() throws {
    expectRefusedWhenTruncated(Self.mapBytes, as: DMAMapRequest.self)
    #expect(fault(Self.mapBytes + [0], as: DMAMapRequest.self) == .oversized)
    #expect(
      fault(try patched(Self.mapBytes, 31, at: 0), as: DMAMapRequest.self) == .badArgumentSize)
    for bit in 2..<32 {
      let bytes = try patched(Self.mapBytes, 3 | 1 << UInt32(bit), at: 4)
      #expect(fault(bytes, as: DMAMapRequest.self) == .badFlags)
    }
    #expect(try decode(try patched(Self.mapBytes, 0, at: 4), as: DMAMapRequest.self).rights == [])
  }

  @Test("E17: DMA_MAP of nothing, or beyond the address space or the file, is refused")
  func mapRanges() {
    func request(_ fileOffset: UInt64, _ address: UInt64, _ byteCount: UInt64) -> [UInt8] {
      DMAMapRequest(
        rights: .read, fileOffset: fileOffset, address: DMAAddress(address), byteCount: byteCount
      ).encodedPayload()
    }
    #expect(fault(request(0, 0, 0), as: DMAMapRequest.self) == .badRange)
    #expect(fault(request(0, .max, 2), as: DMAMapRequest.self) == .badRange)
    #expect(fault(request(.max, 0, 2), as: DMAMapRequest.self) == .badRange)
    #expect(fault(request(0, .max - 0xfff, 0x1000), as: DMAMapRequest.self) == nil)
    #expect(fault(request(0, 0, .max), as: DMAMapRequest.self) == nil)
  }

  @Test("DMA_UNMAP and its reply have the bytes of the specification")
  func unmapGolden() throws {
    try expectGolden(Self.unmap, Self.unmapBytes)
  }

  @Test("E17: DMA_UNMAP of a wrong length, argsz or flag is refused")
  func unmapFaults() throws {
    expectRefusedWhenTruncated(Self.unmapBytes, as: DMAUnmapRequest.self)
    #expect(fault(Self.unmapBytes + [0], as: DMAUnmapRequest.self) == .oversized)
    #expect(
      fault(try patched(Self.unmapBytes, 23, at: 0), as: DMAUnmapRequest.self) == .badArgumentSize)
    for bit in 0..<32 {
      let bytes = try patched(Self.unmapBytes, 1 << UInt32(bit), at: 4)
      #expect(fault(bytes, as: DMAUnmapRequest.self) == .badFlags)
    }
  }

  @Test("DMA_READ and DMA_WRITE have the bytes of the specification")
  func accessGolden() throws {
    let access = DMAAccess(address: DMAAddress(0x8000_0000), count: 4)
    let bytes = try [UInt8](byteCount: 16) { span throws(WireError) in
      try access.encode(into: &span, at: 0)
    }
    #expect(bytes == hex("0000008000000000 0400000000000000"))
    #expect(try DMAAccess.readRequest(bytes.rawSpan, limit: 4) == access)
    #expect(try DMAAccess.writeRequest((bytes + [1, 2, 3, 4]).rawSpan, limit: 4) == access)
    let reply = try access.readReply((bytes + [1, 2, 3, 4]).rawSpan)
    #expect([UInt8](copying: reply) == [1, 2, 3, 4])
  }

  @Test("A reply to DMA_WRITE may have no payload, or a count of 4 or of 8 bytes")
  func writeReplies() throws {
    let access = DMAAccess(address: DMAAddress(0x8000_0000), count: 4)
    let short = try [UInt8](byteCount: 12) { span throws(WireError) in
      try access.encodeWriteReply(into: &span, at: 0)
    }
    #expect(short == hex("0000008000000000 04000000"))
    try access.checkWriteReply([UInt8]().rawSpan)
    try access.checkWriteReply(short.rawSpan)
    try access.checkWriteReply(hex("0000008000000000 0400000000000000").rawSpan)
    for count in [1, 4, 8, 11, 13, 15, 17] {
      let bytes = (short + [0, 0, 0, 0, 0]).prefix(count)
      #expect(throws: WireError.self) { try access.checkWriteReply(Array(bytes).rawSpan) }
    }
    #expect(throws: WireError.self) {
      try access.checkWriteReply(hex("0000008000000000 05000000").rawSpan)
    }
    #expect(throws: WireError.self) {
      try access.checkWriteReply(hex("0100008000000000 04000000").rawSpan)
    }
  }

  @Test("E17: DMA accesses of wrong length, beyond the limit or the address space are refused")
  func accessFaults() throws {
    let bytes = hex("0000008000000000 0400000000000000")
    for count in 0..<16 {
      #expect(throws: WireError.self) {
        try DMAAccess.readRequest(Array(bytes.prefix(count)).rawSpan, limit: 100)
      }
    }
    #expect(throws: WireError(.oversized, "")) {
      try DMAAccess.readRequest((bytes + [0]).rawSpan, limit: 100)
    }
    #expect(throws: WireError(.oversized, "")) {
      try DMAAccess.readRequest(bytes.rawSpan, limit: 3)
    }
    #expect(throws: WireError(.badCount, "")) {
      try DMAAccess.writeRequest((bytes + [1, 2, 3]).rawSpan, limit: 100)
    }
    #expect(throws: WireError(.badCount, "")) {
      try DMAAccess.writeRequest((bytes + [1, 2, 3, 4, 5]).rawSpan, limit: 100)
    }
    #expect(throws: WireError(.badRange, "")) {
      try DMAAccess.readRequest(hex("fdffffffffffffff 0400000000000000").rawSpan, limit: 100)
    }
    #expect(throws: WireError(.oversized, "")) {
      try DMAAccess.readRequest(hex("0000000000000000 ffffffffffffffff").rawSpan, limit: 100)
    }
    let access = DMAAccess(address: DMAAddress(0x8000_0000), count: 4)
    #expect(throws: WireError.self) {
      _ = try access.readReply((bytes + [1, 2]).rawSpan).byteCount
    }
    #expect(throws: WireError.self) {
      _ = try access.readReply((hex("0000008000000000 0300000000000000") + [1, 2, 3]).rawSpan)
        .byteCount
    }
  }
}
