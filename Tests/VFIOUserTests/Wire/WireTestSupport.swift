import Testing

@testable import VFIOUser

/// The bytes that a string of hexadecimal digits and white space spells.
func hex(_ text: String) -> [UInt8] {
  let digits = text.compactMap(\.hexDigitValue).map(UInt8.init)
  return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// Decodes an array's bytes.
func decode<Message: WireMessage>(
  _ payload: [UInt8], as type: Message.Type = Message.self
) throws(WireError) -> Message {
  try Message(decoding: payload.rawSpan)
}

/// The code of the error that decoding these bytes throws, or nil when it succeeds.
func fault<Message: WireMessage>(_ payload: [UInt8], as type: Message.Type) -> WireError.Code? {
  do {
    _ = try decode(payload, as: type)
    return nil
  } catch {
    return error.code
  }
}

/// A payload with one little-endian 32-bit field replaced.
func patched(_ payload: [UInt8], _ value: UInt32, at offset: Int) throws -> [UInt8] {
  var payload = payload
  try payload.withMutableRawSpan { bytes throws(WireError) in try bytes.store(value, at: offset) }
  return payload
}

/// Checks that a message has exactly these bytes, and that they decode to it.
func expectGolden<Message: WireMessage>(
  _ message: Message, _ golden: [UInt8], location: SourceLocation = #_sourceLocation
) throws {
  #expect(message.encodedPayload() == golden, sourceLocation: location)
  #expect(message.encodedByteCount == golden.count, sourceLocation: location)
  #expect(try decode(golden, as: Message.self) == message, sourceLocation: location)
}

/// Checks that each beginning of a payload that is shorter than `minimum` is refused.
func expectRefusedWhenTruncated<Message: WireMessage>(
  _ payload: [UInt8], below minimum: Int? = nil, as type: Message.Type,
  location: SourceLocation = #_sourceLocation
) {
  for count in 0..<(minimum ?? payload.count) {
    #expect(
      fault(Array(payload.prefix(count)), as: type) != nil, "\(count) bytes decode",
      sourceLocation: location)
  }
}

/// A generator whose numbers are the same in each run (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) {
    state = seed
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
