// How settings are read: pure functions of the text, nil for what is not a value of the type.

extension KnobType {
  /// The value that `text` stands for, in range or not.
  func parse(_ text: String) -> KnobValue? {
    switch self {
    case .boolean:
      switch text.lowercased() {
      case "on", "true", "yes", "1": .boolean(true)
      case "off", "false", "no", "0": .boolean(false)
      default: nil
      }
    case .integer: Self.integer(text).map(KnobValue.integer)
    case .byteCount: Self.byteCount(text).map(KnobValue.integer)
    case .text: .text(text)
    case .choice(let words): words.contains(text) ? .text(text) : nil
    }
  }

  /// A decimal or, after 0x, hexadecimal number.
  private static func integer(_ text: some StringProtocol) -> Int? {
    if text.hasPrefix("0x") || text.hasPrefix("0X") {
      let digits = text.dropFirst(2)
      guard let first = digits.first, first.isHexDigit else { return nil }
      return Int(digits, radix: 16)
    }
    return Int(text)
  }

  /// A number with an optional suffix; nil also where the product does not fit.
  private static func byteCount(_ text: String) -> Int? {
    let shifts: [Character: Int] = ["K": 10, "M": 20, "G": 30]
    guard let last = text.uppercased().last, let shift = shifts[last] else { return integer(text) }
    guard let number = integer(text.dropLast()) else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : product
  }
}
