/// `value` as a hexadecimal number of at least `digits` digits: "0x01f".
func hexadecimal(_ value: some BinaryInteger, digits: Int = 0) -> String {
  let text = String(value, radix: 16)
  return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
}

extension String {
  /// Whether there is nothing to read in it.
  var isBlank: Bool { allSatisfy(\.isWhitespace) }
}
