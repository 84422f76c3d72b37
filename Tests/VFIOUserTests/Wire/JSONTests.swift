import Testing

@testable import VFIOUser

@Suite("JSON of the negotiation")
struct JSONTests {
  static func parse(_ text: String) throws(WireError) -> JSONValue {
    try JSONParser.parse(Array(text.utf8))
  }

  @Test("Values of every kind are read")
  func values() throws {
    #expect(try Self.parse(" null ") == .null)
    #expect(try Self.parse("[true,false]") == .array([.bool(true), .bool(false)]))
    #expect(try Self.parse("{ }") == .object([:]))
    #expect(try Self.parse("[ ]") == .array([]))
    #expect(
      try Self.parse("{\"a\": {\"b\" : [1, -2]}}")
        == .object(["a": .object(["b": .array([.integer(1), .integer(-2)])])]))
  }

  @Test("Integral numbers keep every bit, others are floating-point")
  func numbers() throws {
    #expect(try Self.parse("0") == .integer(0))
    #expect(try Self.parse("-0") == .integer(0))
    #expect(try Self.parse("9223372036854775807") == .integer(.max))
    #expect(try Self.parse("-9223372036854775808") == .integer(.min))
    #expect(try Self.parse("18446744073709551615") == .unsigned(.max))
    #expect(try Self.parse("18446744073709551616") == .number(18_446_744_073_709_551_616))
    #expect(try Self.parse("1.5e3") == .number(1500))
    #expect(JSONValue.number(1500).unsignedValue == 1500)
    #expect(JSONValue.number(1.5).unsignedValue == nil)
    #expect(JSONValue.number(1e300).unsignedValue == nil)
    #expect(JSONValue.integer(-1).unsignedValue == nil)
    #expect(JSONValue(UInt64.max) == .unsigned(.max))
  }

  @Test("Strings keep escapes and UTF-8")
  func strings() throws {
    #expect(
      try Self.parse(#""a\"\\\/\b\f\n\r\t\u0041\u00e9""#) == .string("a\"\\/\u{8}\u{c}\n\r\tAé"))
    #expect(try Self.parse(#""\ud83d\ude00 é 😀""#) == .string("😀 é 😀"))
    #expect(JSONValue.string("\u{1}\"\\\né😀").text == #""\u0001\"\\\né😀""#)
  }

  @Test(
    "E17: what is not JSON is refused",
    arguments: [
      "", " ", "{", "}", "[", "]", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
      "{'a':1}", "01", "+1", ".5", "1.", "1e", "1e+", "-", "0x10", "nul", "tru", "nan", "Infinity",
      "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
      "\"\\udc00\"", "\"\u{1}\"", "1 2", "{} x", "{\"a\":1,\"a\":2}", "1e999", "[1 2]",
      "\u{feff}{}",
      "/* */ 1", "{\"a\":1 \"b\":2}",
    ])
  func malformed(text: String) {
    #expect(throws: WireError(.badJSON, "")) { try Self.parse(text) }
  }

  @Test("E17: broken UTF-8 is refused", arguments: [[0x80], [0xc3], [0xed, 0xa0, 0x80], [0xff]])
  func brokenUTF8(bytes: [UInt8]) {
    #expect(throws: WireError(.badJSON, "")) { try JSONParser.parse([0x22] + bytes + [0x22]) }
    #expect(throws: WireError(.badJSON, "")) { try JSONParser.parse(bytes) }
  }

  @Test("E17: depth and length are bounded")
  func bounds() throws {
    let deepest = String(repeating: "[", count: 17) + String(repeating: "]", count: 17)
    _ = try Self.parse(deepest)
    #expect(throws: WireError(.badJSON, "")) { try Self.parse("[" + deepest + "]") }
    #expect(throws: WireError(.badJSON, "")) {
      try JSONParser.parse([UInt8](repeating: UInt8(ascii: "["), count: 65536))
    }
    #expect(throws: WireError(.oversized, "")) {
      try JSONParser.parse([UInt8](repeating: UInt8(ascii: " "), count: 65537))
    }
  }

  @Test("What is written is read back")
  func roundTrip() throws {
    let value = JSONValue.object([
      "z": .array([.null, .bool(true), .integer(-5), .unsigned(.max), .number(0.25)]),
      "a": .object(["é\n": .string("\u{0}")]),
    ])
    #expect(try Self.parse(value.text) == value)
    #expect(value.text.hasPrefix(#"{"a":{"#))
    #expect(JSONValue.number(.infinity).text == "null")
  }

  @Test("E17: random bytes never trap the parser")
  func randomBytes() {
    var generator = SeededGenerator(seed: 1)
    let alphabet = Array(#"{}[]",:\u0123456789abcdefe+-.truefalsn "#.utf8) + [0, 0x80, 0xff, 0xc3]
    for _ in 0..<20_000 {
      let count = Int.random(in: 0...40, using: &generator)
      let text = (0..<count).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
      if let value = try? JSONParser.parse(text) {
        #expect((try? JSONParser.parse(Array(value.text.utf8))) == value)
      }
    }
  }
}
