import Testing

@testable import VFIOUser

@Suite("ioregionfd frames")
struct IORegionFrameTests {
  private func bytes(_ command: IORegionCommand) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xff, count: 32)
    try bytes.withMutableRawSpan { span in try command.encode(into: &span) }
    return bytes
  }

  private func decoded(_ bytes: [UInt8]) throws -> IORegionCommand {
    try IORegionCommand(decoding: bytes.rawSpan)
  }

  @Test(
    "I8, I11: a read has the golden bytes at each size",
    arguments: [(1, 0x40), (2, 0x50), (4, 0x60), (8, 0x70)] as [(Int, UInt8)])
  func read(byteCount: Int, info: UInt8) throws {
    let command = IORegionCommand.read(
      at: 0x1008, byteCount: byteCount, userData: 0x1122_3344_5566_7788)
    #expect(
      try bytes(command) == [info, 0, 0, 0, 0, 0, 0, 0]
        + [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]
        + [0x08, 0x10, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0])
    #expect(try decoded(try bytes(command)) == command)
  }

  @Test(
    "I11: a write carries its value zero-extended, and asks for a response unless it is posted",
    arguments: [
      (1, false, 0x41, 0x08), (2, false, 0x51, 0x0708), (4, false, 0x61, 0x0506_0708),
      (8, false, 0x71, 0x0102_0304_0506_0708), (1, true, 0x01, 0x08),
      (8, true, 0x31, 0x0102_0304_0506_0708),
    ] as [(Int, Bool, UInt8, UInt64)])
  func write(byteCount: Int, isPosted: Bool, info: UInt8, data: UInt64) throws {
    let command = IORegionCommand.write(
      0x0102_0304_0506_0708, at: 4, byteCount: byteCount, userData: 9, isPosted: isPosted)
    let encoded = try bytes(command)
    #expect(encoded[0] == info)
    #expect(Array(encoded[1..<8]) == [0, 0, 0, 0, 0, 0, 0])
    let value: UInt64 = try encoded.rawSpan.load(at: 24)
    #expect(value == data)
    #expect(try decoded(encoded) == command)
  }

  @Test("I11: a read without the response bit is answered all the same")
  func silentRead() throws {
    let command = try IORegionCommand(info: 0x20, userData: 0, offset: 0, data: 0)
    #expect(command.wantsResponse)
  }

  @Test("I11: what is reserved must be zero, and there are two commands")
  func garbage() {
    for info in [0x80, 0x100, 0x8000_0000, 2, 0xf] as [UInt32] {
      #expect(throws: WireError.self) {
        try IORegionCommand(info: info, userData: 0, offset: 0, data: 0)
      }
    }
    #expect(throws: WireError.self) {
      try IORegionCommand(info: 0, padding: 1, userData: 0, offset: 0, data: 0)
    }
    for count in [0, 31, 33] {
      #expect(throws: WireError.self) {
        _ = try decoded([UInt8](repeating: 0, count: count))
      }
    }
  }

  @Test("I12: a response has the golden bytes, and 32 of them")
  func response() throws {
    var bytes = [UInt8](repeating: 0xff, count: 32)
    try bytes.withMutableRawSpan { span in
      try IORegionResponse(data: 0x0102_0304_0506_0708).encode(into: &span)
    }
    #expect(bytes == [8, 7, 6, 5, 4, 3, 2, 1] + [UInt8](repeating: 0, count: 24))
    let decoded = try IORegionResponse(decoding: bytes.rawSpan)
    #expect(decoded.data == 0x0102_0304_0506_0708)
    for count in [0, 8, 31, 33] {
      #expect(throws: WireError.self) {
        let bytes = [UInt8](repeating: 0, count: count)
        _ = try IORegionResponse(decoding: bytes.rawSpan)
      }
    }
  }
}
