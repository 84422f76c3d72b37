import Testing

@testable import VFIOUser

@Suite("Region information")
struct RegionInfoTests {
  static let sparse = RegionInfo(
    index: 0, flags: [.read, .write, .mmap], byteCount: 0x4000, fileOffset: 0x1_0000,
    capabilities: [
      .sparseMap([
        RegionArea(offset: RegionOffset(0x1000), byteCount: 0x1000),
        RegionArea(offset: RegionOffset(0x3000), byteCount: 0x1000),
      ]),
      .type(RegionType(type: 0x8000_1234, subtype: 5)),
    ])
  static let sparseBytes =
    hex("60000000 0f000000 00000000 20000000 0040000000000000 0000010000000000")
    + hex("0100 0100 50000000 02000000 00000000")
    + hex("0010000000000000 0010000000000000 0030000000000000 0010000000000000")
    + hex("0200 0100 00000000 34120080 05000000")

  @Test("GET_REGION_INFO has the bytes of the specification")
  func golden() throws {
    try expectGolden(
      RegionInfoRequest(index: 7, argumentSize: 64),
      hex("40000000 00000000 07000000 00000000 0000000000000000 0000000000000000"))
    try expectGolden(
      RegionInfo(index: 7, flags: [.read, .write], byteCount: 256),
      hex("20000000 03000000 07000000 00000000 0001000000000000 0000000000000000"))
  }

  @Test("Sparse areas and type follow the structure as a chain of capabilities")
  func capabilities() throws {
    try expectGolden(Self.sparse, Self.sparseBytes)
    #expect(Self.sparse.neededByteCount == 96)
  }

  @Test("A request may be followed by the buffer for its reply")
  func requestWithBuffer() throws {
    let bytes = try patched([UInt8](repeating: 0, count: 4064), 4064, at: 0)
    #expect(
      try decode(bytes) == RegionInfoRequest(index: 0, argumentSize: 4064))
  }

  @Test("E17: a request that is cut or has a small argsz is refused")
  func requestFaults() throws {
    let request = RegionInfoRequest(index: 1).encodedPayload()
    expectRefusedWhenTruncated(request, as: RegionInfoRequest.self)
    #expect(fault(try patched(request, 31, at: 0), as: RegionInfoRequest.self) == .badArgumentSize)
  }

  @Test("A reply that does not fit is the structure with the size that is needed")
  func incompleteReply() throws {
    for argumentSize: UInt32 in [32, 95] {
      #expect(Self.sparse.encodedByteCount(limit: argumentSize) == 32)
      let bytes = try [UInt8](byteCount: 32) { span throws(WireError) in
        try Self.sparse.encode(into: &span, at: 0, limit: argumentSize)
      }
      let decoded = try decode(bytes, as: RegionInfo.self)
      #expect(decoded.isIncomplete && decoded.neededByteCount == 96)
      #expect(decoded.capabilities.isEmpty && decoded.flags.contains(.capabilities))
      #expect(decoded.byteCount == 0x4000)
    }
    #expect(Self.sparse.encodedByteCount(limit: 96) == 96)
  }

  @Test("An unknown capability is passed over")
  func unknownCapability() throws {
    var bytes = Self.sparseBytes
    bytes[32] = 9
    let decoded = try decode(bytes, as: RegionInfo.self)
    #expect(
      decoded.capabilities
        == [
          .unknown(identity: 9, version: 1), .type(RegionType(type: 0x8000_1234, subtype: 5)),
        ])
  }

  @Test("E16: a capability chain that loops, goes astray or lies about its length is refused")
  func hostileChains() throws {
    expectRefusedWhenTruncated(Self.sparseBytes, below: 32, as: RegionInfo.self)
    // Cut below its argsz, a reply counts as incomplete and its capabilities are not looked at.
    for count in 32..<96 {
      let decoded = try decode(Array(Self.sparseBytes.prefix(count)), as: RegionInfo.self)
      #expect(decoded.isIncomplete && decoded.capabilities.isEmpty)
    }
    // The chain points at itself, at the structure, outside, or one byte too far.
    for next: UInt32 in [32, 1, 31, 96, 89, 93, 0x7fff_ffff, .max] {
      #expect(fault(try patched(Self.sparseBytes, next, at: 36), as: RegionInfo.self) != nil)
    }
    for first: UInt32 in [1, 31, 90, 96, .max] {
      #expect(fault(try patched(Self.sparseBytes, first, at: 12), as: RegionInfo.self) != nil)
    }
    // Two capabilities that point at each other.
    #expect(fault(try patched(Self.sparseBytes, 32, at: 84), as: RegionInfo.self) == .badCapability)
    for count: UInt32 in [4, 0x1000_0000, .max] {
      #expect(fault(try patched(Self.sparseBytes, count, at: 40), as: RegionInfo.self) == .badCount)
    }
    #expect(
      fault(try patched(Self.sparseBytes, 31, at: 0), as: RegionInfo.self) == .badArgumentSize)
  }

  @Test("E16: a sparse area outside its region, or a region outside its file, is refused")
  func hostileAreas() throws {
    #expect(fault(try patched(Self.sparseBytes, 0x3001, at: 64), as: RegionInfo.self) == .badRange)
    #expect(fault(try patched(Self.sparseBytes, .max, at: 52), as: RegionInfo.self) == .badRange)
    var bytes = try patched(Self.sparseBytes, .max, at: 24)
    bytes = try patched(bytes, .max, at: 28)
    #expect(fault(bytes, as: RegionInfo.self) == .badRange)
  }
}
