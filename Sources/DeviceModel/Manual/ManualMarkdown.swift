/// Writes a manual as Markdown: headings, tables, a subsection for each register.
struct ManualMarkdown {
  private let manual: DeviceManual
  private var lines: [String] = []

  init(_ manual: DeviceManual) { self.manual = manual }

  /// The whole text, with a newline at its end.
  func render() -> String {
    var copy = self
    copy.writeAll()
    return copy.lines.joined(separator: "\n") + "\n"
  }

  private mutating func writeAll() {
    lines += ["# \(manual.name)", "", manual.summary]
    for section in manual.sections { write(section) }
    if !manual.knobs.isEmpty {
      lines += ["", "## Knobs", ""]
      table(
        ["Knob", "Values", "Default", "Description"],
        manual.knobs.map {
          [code($0.name), $0.type.summary, code($0.defaultText), $0.description]
        })
    }
    if !manual.backends.isEmpty {
      lines += ["", "## Backends", ""]
      table(["Backend", "Description"], manual.backends.map { [code($0.form), $0.description] })
    }
    for sheet in manual.registers { write(sheet) }
  }

  private mutating func write(_ section: ManualSection) {
    lines += ["", "## \(section.title)"]
    if !section.facts.isEmpty {
      lines.append("")
      lines += section.facts.map { "- \($0.label): \($0.value)" }
    }
    if !section.columns.isEmpty {
      lines.append("")
      table(section.columns, section.rows)
    }
    for note in section.notes { lines += ["", note] }
  }

  private mutating func write(_ sheet: RegisterSheet) {
    lines += ["", "## Registers: \(sheet.location), \(sheet.sizeText)"]
    if !sheet.notes.isBlank { lines += ["", sheet.notes] }
    for register in sheet.registers {
      let offset = hexadecimal(register.offset, digits: sheet.offsetDigits)
      let bytes = register.byteCount == 1 ? "1 byte" : "\(register.byteCount) bytes"
      lines += ["", "### \(offset) \(register.name) (\(register.acronym))", ""]
      lines.append("\(bytes), \(register.accessSummary), reset \(code(register.resetText)).")
      lines += ["", ([register.description] + register.remarks).joined(separator: " ")]
      guard !register.fields.isEmpty else { continue }
      lines.append("")
      table(
        ["Bits", "Field", "Access", "Description"],
        register.shownFields.map { field in
          [
            field.bitsText, field.name, (field.access ?? register.access).abbreviation,
            ([field.description] + field.meaningLines).joined(separator: " "),
          ]
        })
    }
  }

  private mutating func table(_ columns: [String], _ rows: [[String]]) {
    func line(_ cells: [String]) -> String {
      let escaped = columns.indices.map { $0 < cells.count ? cells[$0].asCell : "" }
      return "| " + escaped.joined(separator: " | ") + " |"
    }
    lines.append(line(columns))
    lines.append("|" + String(repeating: " --- |", count: columns.count))
    lines += rows.map(line)
  }

  private func code(_ text: String) -> String { text.isEmpty ? "" : "`\(text)`" }
}

extension String {
  /// The text as a table cell holds it: one line, no bar that would end the cell.
  fileprivate var asCell: String {
    var cell = ""
    for character in self {
      if character == "|" {
        cell += "\\|"
      } else {
        cell.append(character.isNewline ? " " : character)
      }
    }
    return cell
  }
}
