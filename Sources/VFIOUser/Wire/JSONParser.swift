/// Reads JSON that a peer wrote.
///
/// It is strict: only RFC 8259, only valid UTF-8, no name twice in an object, no lone surrogate. It is
/// bounded in length and in depth, and it throws on everything else; no input makes it trap.
package struct JSONParser {
  /// The longest text that is looked at, in bytes.
  static let maximumByteCount = 65536
  /// How many arrays and objects may be inside each other.
  static let maximumDepth = 16

  private let text: [UInt8]
  private var position = 0

  /// Parses a whole text; white space around the value is allowed, anything else is not.
  package static func parse(_ text: [UInt8]) throws(WireError) -> JSONValue {
    guard text.count <= maximumByteCount else {
      throw WireError(.oversized, "the JSON is longer than 64 KiB")
    }
    var parser = JSONParser(text: text)
    let value = try parser.value(depth: 0)
    parser.skipWhiteSpace()
    guard parser.next == nil else { throw fault("something follows the JSON value") }
    return value
  }

  private init(text: [UInt8]) {
    self.text = text
  }

  private static func fault(_ context: StaticString) -> WireError {
    WireError(.badJSON, context)
  }

  private var next: UInt8? {
    position < text.count ? text[position] : nil
  }

  private mutating func skipWhiteSpace() {
    while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d {
      position += 1
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position += 1
    return true
  }

  private mutating func take(literal: StaticString) -> Bool {
    let count = literal.utf8CodeUnitCount
    guard text.count - position >= count else { return false }
    var scanner = position
    for byte in "\(literal)".utf8 {
      guard text[scanner] == byte else { return false }
      scanner += 1
    }
    position = scanner
    return true
  }

  private mutating func value(depth: Int) throws(WireError) -> JSONValue {
    guard depth <= Self.maximumDepth else { throw Self.fault("the JSON is nested too deeply") }
    skipWhiteSpace()
    guard let byte = next else { throw Self.fault("a JSON value is missing") }
    switch byte {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t") where take(literal: "true"): return .bool(true)
    case UInt8(ascii: "f") where take(literal: "false"): return .bool(false)
    case UInt8(ascii: "n") where take(literal: "null"): return .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw Self.fault("a JSON value is missing")
    }
  }

  private mutating func object(depth: Int) throws(WireError) -> JSONValue {
    position += 1
    var members: [String: JSONValue] = [:]
    skipWhiteSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    repeat {
      skipWhiteSpace()
      guard next == UInt8(ascii: "\"") else { throw Self.fault("a name is missing in an object") }
      let name = try string()
      skipWhiteSpace()
      guard take(UInt8(ascii: ":")) else { throw Self.fault("a colon is missing in an object") }
      let member = try value(depth: depth + 1)
      guard members.updateValue(member, forKey: name) == nil else {
        throw Self.fault("a name is twice in an object")
      }
      skipWhiteSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { throw Self.fault("an object does not end") }
    return .object(members)
  }

  private mutating func array(depth: Int) throws(WireError) -> JSONValue {
    position += 1
    var elements: [JSONValue] = []
    skipWhiteSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    repeat {
      elements.append(try value(depth: depth + 1))
      skipWhiteSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else { throw Self.fault("an array does not end") }
    return .array(elements)
  }

  private mutating func digits() -> Bool {
    let start = position
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    return position > start
  }

  private mutating func number() throws(WireError) -> JSONValue {
    let start = position
    var isIntegral = true
    _ = take(UInt8(ascii: "-"))
    if !take(UInt8(ascii: "0")) {
      guard digits() else { throw Self.fault("a number has no digits") }
    }
    if take(UInt8(ascii: ".")) {
      isIntegral = false
      guard digits() else { throw Self.fault("a fraction has no digits") }
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      isIntegral = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      guard digits() else { throw Self.fault("an exponent has no digits") }
    }
    let spelling = String(decoding: text[start..<position], as: UTF8.self)
    if isIntegral {
      if let value = Int64(spelling) { return .integer(value) }
      if let value = UInt64(spelling) { return .unsigned(value) }
    }
    guard let value = Double(spelling), value.isFinite else {
      throw Self.fault("a number is out of range")
    }
    return .number(value)
  }

  private mutating func string() throws(WireError) -> String {
    position += 1
    var bytes: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: bytes, as: UTF8.self) else {
          throw Self.fault("a string is not UTF-8")
        }
        return string
      case UInt8(ascii: "\\"): try escape(into: &bytes)
      case 0..<0x20: throw Self.fault("a control character is not escaped")
      default: bytes.append(byte)
      }
    }
    throw Self.fault("a string does not end")
  }

  private mutating func escape(into bytes: inout [UInt8]) throws(WireError) {
    guard let byte = next else { throw Self.fault("a string does not end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0c)
    case UInt8(ascii: "n"): bytes.append(0x0a)
    case UInt8(ascii: "r"): bytes.append(0x0d)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "u"):
      var code = try codeUnit()
      if (0xd800..<0xdc00).contains(code) {
        guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
          throw Self.fault("a surrogate is alone")
        }
        let low = try codeUnit()
        guard (0xdc00..<0xe000).contains(low) else { throw Self.fault("a surrogate is alone") }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw Self.fault("a surrogate is alone") }
      bytes.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
    default: throw Self.fault("there is no such escape")
    }
  }

  /// The four hexadecimal digits of an escape.
  private mutating func codeUnit() throws(WireError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw Self.fault("an escape needs four hexadecimal digits")
      }
      position += 1
      code = code << 4 | UInt32(digit)
    }
    return code
  }
}
