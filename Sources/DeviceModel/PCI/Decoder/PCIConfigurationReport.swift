import VFIOUser

/// What a function's configuration space says, decoded for people and for programs.
public struct PCIConfigurationReport: Hashable, Sendable {
  /// The header first, then each capability in the order of its chain.
  public var sections: [Section]

  /// The header or one capability.
  public struct Section: Hashable, Sendable {
    /// Where it starts, in bytes from the start of configuration space.
    public var offset: Int
    /// What it is: "Header", "MSI-X", "Advanced Error Reporting".
    public var title: String
    /// What it says.
    public var lines: [Line]

    /// A section.
    public init(offset: Int, title: String, lines: [Line]) {
      self.offset = offset
      self.title = title
      self.lines = lines
    }
  }

  /// One thing that a section says.
  public struct Line: Hashable, Sendable {
    /// The name of the register or field.
    public var name: String
    /// Its value, decoded.
    public var value: String

    /// A line.
    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// A report of the given sections.
  public init(sections: [Section] = []) { self.sections = sections }

  /// The report as indented lines, each ended by a newline.
  public var text: String {
    var text = ""
    for section in sections {
      if section.offset == 0 {
        text += section.title + "\n"
      } else {
        let isExtended = section.offset >= PCIConfigurationOffset.firstExtendedCapability
        text += "Capability [\(hexadecimalDigits(section.offset, isExtended ? 3 : 2))]"
        text += " \(section.title)\n"
      }
      for line in section.lines { text += "  \(line.name): \(line.value)\n" }
    }
    return text
  }

  /// The report as a JSON array of sections with their offset, title and lines.
  public var json: JSONValue {
    .array(
      sections.map { section in
        .object([
          "offset": JSONValue(UInt64(max(0, section.offset))),
          "title": .string(section.title),
          "lines": .array(
            section.lines.map { .object(["name": .string($0.name), "value": .string($0.value)]) }),
        ])
      })
  }
}

/// `value` in hexadecimal without a prefix, at least `digits` digits.
func hexadecimalDigits(_ value: some BinaryInteger, _ digits: Int) -> String {
  String(hexadecimal(value, digits: digits).dropFirst(2))
}

/// Flags as lspci writes them: "I/O- Mem+ BusMaster+".
func flagText(_ value: some FixedWidthInteger, _ names: KeyValuePairs<Int, String>) -> String {
  names.map { bit, name in name + (value >> bit & 1 != 0 ? "+" : "-") }.joined(separator: " ")
}

/// A size with the largest unit that leaves it whole: "1M", "4096" becomes "4K".
func sizeText(_ byteCount: UInt64) -> String {
  guard byteCount != 0 else { return "0" }
  for (suffix, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)]
  where byteCount % (1 << UInt64(shift)) == 0 {
    return "\(byteCount >> UInt64(shift))\(suffix)"
  }
  return "\(byteCount)"
}
