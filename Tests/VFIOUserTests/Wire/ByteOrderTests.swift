import Testing

@testable import VFIOUser

@Suite("Byte order")
struct ByteOrderTests {
  @Test("Integers are little-endian at any alignment")
  func littleEndian() throws {
    let bytes = hex("ff 01 02 03 04 05 06 07 08")
    #expect(try bytes.rawSpan.load(at: 1, as: UInt8.self) == 0x01)
    #expect(try bytes.rawSpan.load(at: 1, as: UInt16.self) == 0x0201)
    #expect(try bytes.rawSpan.load(at: 1, as: UInt32.self) == 0x0403_0201)
    #expect(try bytes.rawSpan.load(at: 1, as: UInt64.self) == 0x0807_0605_0403_0201)
    let stored = try [UInt8](byteCount: 9) { span throws(WireError) in
      try span.store(UInt64(0x0807_0605_0403_0201), at: 1)
      try span.store(UInt8(0xff), at: 0)
    }
    #expect(stored == bytes)
  }

  @Test("An access outside the bytes throws", arguments: [-1, 5, 6, 8, Int.max, Int.min])
  func outside(offset: Int) {
    let bytes = [UInt8](repeating: 0, count: 8)
    #expect(throws: WireError.self) { try bytes.rawSpan.load(at: offset, as: UInt32.self) }
    #expect(throws: WireError.self) {
      try [UInt8](byteCount: 8) { span throws(WireError) in
        try span.store(UInt32(1), at: offset)
      }
    }
    #expect(throws: WireError.self) {
      try [UInt8](byteCount: 8) { span throws(WireError) in
        try span.store(bytes: [1, 2, 3, 4].rawSpan, at: offset)
      }
    }
    #expect(throws: WireError.self) {
      try [UInt8](byteCount: 8) { span throws(WireError) in
        try span.zero(at: offset, byteCount: 4)
      }
    }
    #expect(throws: WireError.self) {
      _ = try bytes.rawSpan.slice(at: offset, byteCount: 4).byteCount
    }
  }

  @Test("Slices share the bytes and may be empty")
  func slices() throws {
    let bytes = hex("01 02 03 04")
    #expect(try bytes.rawSpan.slice(at: 2, byteCount: 2).load(at: 0, as: UInt16.self) == 0x0403)
    #expect(try bytes.rawSpan.slice(from: 4).byteCount == 0)
    #expect(throws: WireError.self) { _ = try bytes.rawSpan.slice(from: 5).byteCount }
    #expect([UInt8](copying: try bytes.rawSpan.slice(from: 1)) == hex("02 03 04"))
  }
}
