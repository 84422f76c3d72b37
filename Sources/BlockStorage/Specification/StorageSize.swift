/// Sizes as people write them: `4096`, `512M`, `1G`.
enum StorageSize {
  /// The units and how many bits each shifts by.
  private static let units: [(letter: Character, shift: UInt64)] = [
    ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50),
  ]

  /// The number of bytes that `text` means; nil when it is none, or does not fit into 63 bits.
  static func parse(_ text: some StringProtocol) -> UInt64? {
    var digits = text[...]
    var shift: UInt64 = 0
    if let last = digits.last?.uppercased(),
      let unit = units.first(where: { String($0.letter) == last })
    {
      shift = unit.shift
      digits = digits.dropLast()
    }
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let number = UInt64(digits), number <= UInt64(Int64.max) >> shift
    else { return nil }
    return number << shift
  }

  /// The shortest form that says the size exactly.
  static func text(_ byteCount: UInt64) -> String {
    for unit in units.reversed() where byteCount > 0 {
      let rest = byteCount & ((1 << unit.shift) - 1)
      if rest == 0 { return "\(byteCount >> unit.shift)\(unit.letter)" }
    }
    return "\(byteCount)"
  }
}
