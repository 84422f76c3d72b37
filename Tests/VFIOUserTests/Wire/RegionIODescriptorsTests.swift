import Testing

@testable import VFIOUser

@Suite("Region I/O descriptors")
struct RegionIODescriptorsTests {
  static let reply = RegionIODescriptors(
    index: 0,
    entries: [
      RegionIODescriptor(
        offset: RegionOffset(0x1000), byteCount: 4, descriptorIndex: 0, kind: .ioeventfd, flags: 1,
        value: 0x55),
      RegionIODescriptor(
        offset: RegionOffset(0x2000), byteCount: 0x100, descriptorIndex: 1, kind: .ioregionfd,
        flags: 2, value: 0x1122_3344_5566_7788),
    ])
  static let replyBytes =
    hex("60000000 00000000 00000000 02000000")
    + hex("0010000000000000 0400000000000000 00000000 00000000 01000000 00000000 5500000000000000")
    + hex("0020000000000000 0001000000000000 01000000 01000000 02000000 00000000 8877665544332211")

  @Test("GET_REGION_IO_FDS has 40-byte entries after 16 bytes")
  func golden() throws {
    try expectGolden(
      RegionIODescriptorsRequest(index: 3), hex("10000000 00000000 03000000 00000000"))
    try expectGolden(Self.reply, Self.replyBytes)
    try expectGolden(
      RegionIODescriptors(index: 3, entries: []), hex("10000000 00000000 03000000 00000000"))
  }

  @Test("libvfio-user's 48-byte form has the value to match at 40")
  func shadowForm() throws {
    let shadow = RegionIODescriptor(
      offset: RegionOffset(0x1000), byteCount: 4, descriptorIndex: 0, kind: .shadowIOEventfd,
      value: 0x55, shadowDescriptorIndex: 1, shadowOffset: 0x40)
    try expectGolden(
      RegionIODescriptors(index: 0, entries: [shadow, Self.reply.entries[1]]),
      hex("70000000 00000000 00000000 02000000")
        + hex("0010000000000000 0400000000000000 00000000 02000000 00000000 01000000")
        + hex("4000000000000000 5500000000000000")
        + hex("0020000000000000 0001000000000000 01000000 01000000 02000000 00000000")
        + hex("8877665544332211 0000000000000000"))
    let wide =
      hex("40000000 00000000 00000000 01000000")
      + hex("0010000000000000 0400000000000000 00000000 00000000 01000000 00000000")
      + hex("0000000000000000 5500000000000000")
    #expect(try decode(wide, as: RegionIODescriptors.self).entries == [Self.reply.entries[0]])
  }

  @Test("Entries of any length from 40 bytes are read", arguments: [40, 41, 47, 64, 100])
  func strides(stride: Int) throws {
    var bytes = hex("00000000 00000000 00000000 02000000")
    for _ in 0..<2 {
      // From 48 bytes on, an ioeventfd's value has moved; an ioregionfd's stays.
      bytes += Self.replyBytes[56..<96] + [UInt8](repeating: 0xee, count: stride - 40)
    }
    bytes = try patched(bytes, UInt32(bytes.count), at: 0)
    let decoded = try decode(bytes, as: RegionIODescriptors.self)
    #expect(decoded.entries == [Self.reply.entries[1], Self.reply.entries[1]])
  }

  @Test("A reply that does not fit says how much is needed")
  func incomplete() throws {
    #expect(Self.reply.encodedByteCount(limit: 95) == 16)
    let bytes = try [UInt8](byteCount: 16) { span throws(WireError) in
      try Self.reply.encode(into: &span, at: 0, limit: 95)
    }
    let decoded = try decode(bytes, as: RegionIODescriptors.self)
    #expect(decoded.isIncomplete && decoded.neededByteCount == 96 && decoded.entries.isEmpty)
  }

  @Test("E17: a request with flags, a count or a small argsz is refused")
  func requestFaults() throws {
    let request = RegionIODescriptorsRequest(index: 3).encodedPayload()
    expectRefusedWhenTruncated(request, as: RegionIODescriptorsRequest.self)
    typealias Request = RegionIODescriptorsRequest
    #expect(fault(try patched(request, 15, at: 0), as: Request.self) == .badArgumentSize)
    #expect(fault(try patched(request, 1, at: 4), as: Request.self) == .badFlags)
    #expect(fault(try patched(request, 1, at: 12), as: Request.self) == .badCount)
  }

  @Test("E16: a reply whose count and argsz contradict each other is refused")
  func hostileReplies() throws {
    expectRefusedWhenTruncated(Self.replyBytes, below: 16, as: RegionIODescriptors.self)
    for count: UInt32 in [3, 80, 81, .max] {
      let bytes = try patched(Self.replyBytes, count, at: 12)
      #expect(fault(bytes, as: RegionIODescriptors.self) == .badCount)
    }
    #expect(
      fault(try patched(Self.replyBytes, 1, at: 4), as: RegionIODescriptors.self) == .badFlags)
    // A shadow entry needs 48 bytes.
    let short = try patched(Self.replyBytes, 2, at: 36)
    #expect(fault(short, as: RegionIODescriptors.self) == .badCount)
    let overflowing = try patched(try patched(Self.replyBytes, .max, at: 24), .max, at: 28)
    #expect(
      fault(try patched(overflowing, .max, at: 20), as: RegionIODescriptors.self) == .badRange)
  }
}
