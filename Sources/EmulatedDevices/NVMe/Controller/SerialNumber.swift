import BlockStorage

/// Serial numbers of controllers that were not given one.
///
/// Two controllers of one machine with the same number would be one subsystem to its drivers, which
/// then refuse the second.
enum SerialNumber {
  /// A number of 16 hexadecimal digits that follows from what the storages are: the same each time
  /// for those that last, by chance where none does.
  static func make(for storages: [any BlockStorage]) -> String {
    let identities = storages.map { $0.identity ?? $0.name }
    let isLasting = storages.contains { $0.identity != nil }
    let number =
      isLasting ? FNV.hash(identities.joined(separator: "\n")) : UInt64.random(in: 0...UInt64.max)
    let digits = String(number, radix: 16, uppercase: true)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
