import VFIOUser

/// A device's hardware manual, made from its declarations.
///
/// It holds nothing that is not declared elsewhere, so that it cannot go stale: knobs, registers and
/// fields come with their mandatory descriptions, the bus adds its facts as sections.
public struct DeviceManual: Sendable {
  /// The device's name on the command line: "edu".
  public var name: String
  /// One sentence on what it is.
  public var summary: String
  /// The bus's facts.
  public var sections: [ManualSection]
  /// The knobs.
  public var knobs: [any KnobDeclaration]
  /// The backends that the device takes.
  public var backends: [ManualBackend]
  /// The register blocks.
  public var registers: [RegisterSheet]

  /// Puts a manual together.
  public init(
    name: String, summary: String, sections: [ManualSection] = [],
    knobs: [any KnobDeclaration] = [], backends: [ManualBackend] = [],
    registers: [RegisterSheet] = []
  ) {
    self.name = name
    self.summary = summary
    self.sections = sections
    self.knobs = knobs
    self.backends = backends
    self.registers = registers
  }

  /// The manual in a format.
  public func text(_ format: Format = .text) -> String {
    switch format {
    case .text: ManualText(self).render()
    case .markdown: ManualMarkdown(self).render()
    case .json: json.text + "\n"
    }
  }

  /// How a manual is written.
  public enum Format: String, Sendable, CaseIterable {
    /// For a terminal, 80 columns.
    case text
    /// For a web page.
    case markdown
    /// For programs; ``DeviceManual/json``.
    case json
  }

  /// Checks all that the manual is made from, descriptions above all.
  ///
  /// - Throws: ``DeclarationError`` naming the first thing that is missing or wrong.
  public func validate() throws(DeclarationError) {
    guard !summary.isBlank else { throw DeclarationError("\(name) has no summary") }
    _ = try KnobValues(device: name, declaring: knobs)
    for backend in backends where backend.description.isBlank {
      throw DeclarationError("\(name): backend \(backend.form) has no description")
    }
    for sheet in registers {
      _ = try RegisterPlan(
        name: "\(name), \(sheet.location)", declarations: sheet.registers,
        byteCount: sheet.byteCount)
    }
  }
}
