/// The registers of one block as the manual shows them: where they are, and their declarations.
public struct RegisterSheet: Sendable {
  /// Where the block is, in the bus's words: "BAR 0".
  public var location: String
  /// How many bytes it spans.
  public var byteCount: Int
  /// What holds for the block as a whole, such as the widths it takes; may be empty.
  public var notes: String
  /// The registers, in the order shown.
  public var registers: [Register]

  /// Describes the block of `map` at `location`.
  ///
  /// - Parameters:
  ///   - location: where it is, in the bus's words.
  ///   - map: its registers.
  ///   - byteCount: how many bytes it spans; by default up to its last register.
  ///   - notes: what holds for the block as a whole.
  public init<Map: RegisterMap>(
    _ location: String, _ map: Map.Type, byteCount: Int? = nil, notes: String = ""
  ) {
    self.init(location, Map.declarations, byteCount: byteCount, notes: notes)
  }

  /// Describes a realised block, whose declarations may have been adjusted by knobs.
  public init(_ location: String, _ block: AnyRegisterBlock, notes: String = "") {
    self.init(location, block.declarations, byteCount: block.byteCount, notes: notes)
  }

  private init(_ location: String, _ registers: [Register], byteCount: Int?, notes: String) {
    self.location = location
    self.registers = registers
    self.byteCount = byteCount ?? registers.map(\.endOffset).max() ?? 0
    self.notes = notes
  }

  /// The size in words.
  var sizeText: String { byteCount == 1 ? "1 byte" : "\(byteCount) bytes" }

  /// How many hexadecimal digits every offset of the block needs, at least 2.
  var offsetDigits: Int {
    max(2, String(registers.map(\.endOffset).max() ?? 0, radix: 16).count)
  }
}

extension Register {
  /// The access kind in short: "RO", or "RO, RW" where fields differ.
  var accessSummary: String {
    let kinds = RegisterAccess.allCases.filter { mask(of: $0) != 0 }
    return kinds.map(\.abbreviation).joined(separator: ", ")
  }

  /// The reset value in as many digits as the register has.
  var resetText: String { hexadecimal(resetValue, digits: byteCount * 2) }

  /// What to know besides the description: arrays, banks, resets.
  var remarks: [String] {
    var remarks: [String] = []
    if let array {
      remarks.append(
        "\(array.count) elements, \(array.strideByteCount) bytes apart; the last is at"
          + " \(hexadecimal(endOffset - byteCount)).")
    }
    if let bank { remarks.append("Visible while \(bank.condition).") }
    if survivesReset { remarks.append("Keeps its value across a reset.") }
    return remarks
  }

  /// Its fields from the most significant down, as data sheets show them.
  var shownFields: [Field] { fields.sorted { $0.bits.lowerBound > $1.bits.lowerBound } }
}

extension Field {
  /// The bits as data sheets write them: "31:24", "7".
  var bitsText: String {
    bits.count == 1 ? "\(bits.lowerBound)" : "\(bits.upperBound):\(bits.lowerBound)"
  }

  /// What single values mean, one line each: "0: idle."
  var meaningLines: [String] { meanings.map { "\($0.key): \($0.value)" } }
}
