/// Writes a manual for a terminal: aligned columns, prose wrapped at 80.
struct ManualText {
  private let manual: DeviceManual
  private let width = 80
  private var lines: [String] = []

  init(_ manual: DeviceManual) { self.manual = manual }

  /// The whole text, with a newline at its end.
  func render() -> String {
    var copy = self
    copy.writeAll()
    return copy.lines.joined(separator: "\n") + "\n"
  }

  private mutating func writeAll() {
    prose("\(manual.name): \(manual.summary)", indent: 0)
    for section in manual.sections { write(section) }
    write(
      "Knobs",
      pairs: manual.knobs.map { knob in
        let initial = knob.defaultText.isEmpty ? "empty by default" : "default \(knob.defaultText)"
        return (knob.name, ["\(knob.type.summary); \(initial)", knob.description])
      })
    write("Backends", pairs: manual.backends.map { ($0.form, [$0.description]) })
    for sheet in manual.registers { write(sheet) }
  }

  private mutating func heading(_ title: String) {
    lines.append("")
    lines.append(title.uppercased())
  }

  private mutating func write(_ section: ManualSection) {
    heading(section.title)
    let label = section.facts.map(\.label.count).max() ?? 0
    for fact in section.facts {
      hanging("  " + fact.label.padded(to: label) + "  ", fact.value)
    }
    if !section.columns.isEmpty {
      if !section.facts.isEmpty { lines.append("") }
      table([section.columns] + section.rows, indent: 2)
    }
    let isFirst = section.facts.isEmpty && section.columns.isEmpty
    for (number, note) in section.notes.enumerated() {
      if number > 0 || !isFirst { lines.append("") }
      prose(note, indent: 2)
    }
  }

  /// Names in a column of their own, each with paragraphs next to it.
  private mutating func write(_ title: String, pairs: [(name: String, paragraphs: [String])]) {
    guard !pairs.isEmpty else { return }
    heading(title)
    let column = pairs.map(\.name.count).max() ?? 0
    for (name, paragraphs) in pairs {
      for (number, paragraph) in paragraphs.enumerated() {
        hanging("  " + (number == 0 ? name : "").padded(to: column) + "  ", paragraph)
      }
    }
  }

  private mutating func write(_ sheet: RegisterSheet) {
    heading("Registers: \(sheet.location), \(sheet.sizeText)")
    if !sheet.notes.isBlank {
      prose(sheet.notes, indent: 2)
      lines.append("")
    }
    let rows = sheet.registers.map { register in
      [
        hexadecimal(register.offset, digits: sheet.offsetDigits), "\(register.byteCount)",
        register.accessSummary, register.resetText, register.acronym, register.name,
      ]
    }
    let cells = [["Offset", "Bytes", "Access", "Reset", "Acronym", "Name"]] + rows
    let columns = Self.columns(cells)
    lines.append("  " + Self.row(cells[0], columns))
    for (register, row) in zip(sheet.registers, rows) {
      lines.append("")
      lines.append("  " + Self.row(row, columns))
      for text in [register.description] + register.remarks { prose(text, indent: 6) }
      write(register.shownFields, of: register)
    }
  }

  private mutating func write(_ fields: [Field], of register: Register) {
    let bits = fields.map(\.bitsText.count).max() ?? 0
    let kinds = fields.map { ($0.access ?? register.access).abbreviation }
    let kind = kinds.map(\.count).max() ?? 0
    let name = fields.map(\.name.count).max() ?? 0
    for (field, access) in zip(fields, kinds) {
      let lead =
        "      " + field.bitsText.padded(to: bits, right: true) + "  " + access.padded(to: kind)
        + "  " + field.name.padded(to: name) + "  "
      hanging(lead, field.description)
      for line in field.meaningLines { hanging(String(repeating: " ", count: lead.count), line) }
    }
  }

  // MARK: - Layout

  private mutating func table(_ rows: [[String]], indent: Int) {
    let columns = Self.columns(rows)
    for row in rows {
      lines.append(String(repeating: " ", count: indent) + Self.row(row, columns))
    }
  }

  private static func columns(_ rows: [[String]]) -> [Int] {
    (0..<(rows.map(\.count).max() ?? 0)).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
  }

  private static func row(_ cells: [String], _ columns: [Int]) -> String {
    zip(cells, columns).map { $0.padded(to: $1) }.joined(separator: "  ").withoutTrailingSpaces
  }

  private mutating func prose(_ text: String, indent: Int) {
    hanging(String(repeating: " ", count: indent), text)
  }

  /// A paragraph after `lead`; its further lines begin below its first word.
  private mutating func hanging(_ lead: String, _ text: String) {
    let indent = String(repeating: " ", count: lead.count)
    var line = lead
    var isEmpty = true
    for word in text.split(whereSeparator: \.isWhitespace) {
      // A narrow column beats a line of one word each: at least 24 characters a line.
      if !isEmpty, line.count + 1 + word.count > max(width, lead.count + 24) {
        lines.append(line)
        line = indent
        isEmpty = true
      }
      line += (isEmpty ? "" : " ") + word
      isEmpty = false
    }
    lines.append(line.withoutTrailingSpaces)
  }
}

extension String {
  /// The string with spaces up to `count` characters, behind it or in front.
  fileprivate func padded(to count: Int, right: Bool = false) -> String {
    let spaces = String(repeating: " ", count: Swift.max(0, count - self.count))
    return right ? spaces + self : self + spaces
  }

  fileprivate var withoutTrailingSpaces: String {
    String(self[..<(lastIndex { $0 != " " }.map(index(after:)) ?? startIndex)])
  }
}
