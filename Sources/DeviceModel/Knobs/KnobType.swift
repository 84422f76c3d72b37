/// What values a knob takes, as the command line and the manual see it.
public enum KnobType: Sendable, Equatable {
  /// `on` or `off`; `true`, `yes`, `1` and their opposites are understood as well.
  case boolean
  /// A number in a range, decimal or with 0x in front.
  case integer(ClosedRange<Int>)
  /// A number of bytes in a range, with K, M or G for powers of 1024.
  case byteCount(ClosedRange<Int>)
  /// Any text.
  case text
  /// One of these words.
  case choice([String])

  /// What the type takes, in words: "integer from 0 to 65535".
  public var summary: String {
    switch self {
    case .boolean: "on or off"
    case .integer(let range): "integer from \(range.lowerBound) to \(range.upperBound)"
    case .byteCount(let range):
      "size from \(Self.text(byteCount: range.lowerBound)) to \(Self.text(byteCount: range.upperBound))"
    case .text: "text"
    case .choice(let words): "one of " + words.joined(separator: ", ")
    }
  }

  /// What the type takes, as part of a sentence: "an integer from 0 to 65535".
  var phrase: String {
    switch self {
    case .integer: "an \(summary)"
    case .byteCount: "a \(summary)"
    case .boolean, .text, .choice: summary
    }
  }

  /// The type's name alone: "integer".
  public var name: String {
    switch self {
    case .boolean: "boolean"
    case .integer: "integer"
    case .byteCount: "size"
    case .text: "text"
    case .choice: "choice"
    }
  }

  /// A value of this type as one would write it in a setting; empty text stays empty.
  public func text(_ value: KnobValue) -> String {
    switch value {
    case .boolean(let isOn): isOn ? "on" : "off"
    case .integer(let number):
      if case .byteCount = self { Self.text(byteCount: number) } else { String(number) }
    case .text(let text): text
    }
  }

  /// A number of bytes with the largest suffix that leaves it whole: "64K".
  static func text(byteCount: Int) -> String {
    guard byteCount != 0 else { return "0" }
    for (suffix, shift) in [("G", 30), ("M", 20), ("K", 10)] where byteCount % (1 << shift) == 0 {
      return "\(byteCount >> shift)\(suffix)"
    }
    return String(byteCount)
  }

  /// Whether `value` is one of this type's.
  func contains(_ value: KnobValue) -> Bool {
    switch (self, value) {
    case (.boolean, .boolean), (.text, .text): true
    case (.integer(let range), .integer(let number)), (.byteCount(let range), .integer(let number)):
      range.contains(number)
    case (.choice(let words), .text(let word)): words.contains(word)
    default: false
    }
  }
}
