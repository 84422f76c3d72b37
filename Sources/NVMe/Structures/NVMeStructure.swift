/// A data structure of the specification, as the bytes that cross between controller and host.
///
/// Fields are read and written in place, little-endian; what no property names keeps its bytes.
public protocol NVMeStructure: Hashable, Sendable {
  /// The structure's size in bytes.
  static var byteCount: Int { get }
  /// The bytes, as many as ``byteCount`` says.
  var bytes: [UInt8] { get set }
  /// A structure of zeros.
  init()
}

extension NVMeStructure {
  /// The structure in the first bytes of `bytes`; bytes that are missing are 0.
  public init(_ bytes: some Collection<UInt8>) {
    self.init()
    for (index, byte) in bytes.prefix(Self.byteCount).enumerated() { self.bytes[index] = byte }
  }

  func load<Value: FixedWidthInteger>(_ offset: Int, as type: Value.Type = Value.self) -> Value {
    var value: Value = 0
    for index in 0..<(Value.bitWidth / 8) {
      value |= Value(truncatingIfNeeded: bytes[offset + index]) << (index * 8)
    }
    return value
  }

  mutating func store<Value: FixedWidthInteger>(_ value: Value, _ offset: Int) {
    for index in 0..<(Value.bitWidth / 8) {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8))
    }
  }

  /// Text without the spaces at its end.
  func text(_ range: Range<Int>) -> String {
    var content = bytes[range]
    while let last = content.last, last == 0x20 || last == 0 { content.removeLast() }
    return String(decoding: content, as: UTF8.self)
  }

  /// Writes ASCII text, with spaces behind it; what is not ASCII becomes a question mark.
  mutating func store(text: String, _ range: Range<Int>) {
    for offset in range { bytes[offset] = 0x20 }
    for (offset, scalar) in zip(range, text.unicodeScalars) {
      bytes[offset] = scalar.value >= 0x20 && scalar.value < 0x7f ? UInt8(scalar.value) : 0x3f
    }
  }
}
