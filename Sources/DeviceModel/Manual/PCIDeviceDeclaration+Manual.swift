extension PCIDeviceDeclaration {
  /// The device's manual, for the hardware that these knobs give.
  ///
  /// - Parameters:
  ///   - values: values of its knobs; nil for the defaults.
  ///   - backends: the forms of backend that the program offers to this device.
  /// - Throws: what the declarations throw: ``DeclarationError``, ``PCIHardwareError``.
  public func manual(
    knobs values: KnobValues? = nil, backends: [ManualBackend] = []
  ) throws -> DeviceManual {
    let hardware = try hardware(values ?? KnobValues(device: name, declaring: knobs))
    var sections = try hardware.manualSections()
    if !discussion.isBlank {
      let paragraphs = discussion.split(separator: "\n\n").map(String.init)
      sections.insert(ManualSection("About", notes: paragraphs), at: 0)
    }
    if let backend {
      let need = backend.isRequired ? "required" : "optional"
      sections.append(
        ManualSection(
          "Host side", facts: [.init("Kind", "\(backend.kind), \(need)")], notes: [backend.summary])
      )
    }
    return DeviceManual(
      name: name, summary: summary, sections: sections, knobs: knobs, backends: backends,
      registers: try hardware.registerSheets())
  }
}

extension PCIHardware {
  /// What a driver finds in configuration space, as sections of a manual.
  ///
  /// - Throws: ``PCIHardwareError`` when the hardware cannot be built.
  func manualSections() throws(PCIHardwareError) -> [ManualSection] {
    let layout = try PCIConfigurationLayout(hardware: self)
    var sections = [ManualSection("PCI function", facts: identityFacts + interruptFacts)]
    if !bars.isEmpty { sections.append(windowSection) }
    if let section = pathSection { sections.append(section) }
    if !layout.placed.isEmpty {
      sections.append(
        ManualSection(
          "Capabilities", columns: ["Offset", "Bytes", "Capability"],
          rows: layout.placed.map {
            [hexadecimal($0.offset, digits: 2), "\($0.byteCount)", $0.name]
          }))
    }
    return sections
  }

  /// The register blocks of every BAR.
  func registerSheets() throws(DeclarationError) -> [RegisterSheet] {
    var sheets: [RegisterSheet] = []
    for bar in bars {
      for content in bar.contents {
        guard case .registers(let make) = content.kind else { continue }
        let place = content.offset == 0 ? "" : " from \(hexadecimal(content.offset))"
        let block = try make()
        sheets.append(
          RegisterSheet(
            "BAR \(bar.index)\(place)", block,
            notes: content.notes.isBlank ? block.accessNotes : content.notes))
      }
    }
    return sheets
  }

  private var identityFacts: [ManualSection.Fact] {
    func identifiers(_ vendor: UInt16, _ device: UInt16) -> String {
      String(hexadecimal(vendor, digits: 4).dropFirst(2)) + ":"
        + hexadecimal(device, digits: 4).dropFirst(2)
    }
    let code = identity.classCode
    let digits = [code.base, code.sub, code.programmingInterface].map {
      hexadecimal($0, digits: 2).dropFirst(2)
    }
    return [
      .init("Vendor and device", identifiers(identity.vendor, identity.device)),
      .init("Subsystem", identifiers(identity.subsystemVendor, identity.subsystem)),
      .init("Class code", digits.joined() + ", " + code.name),
      .init("Revision", hexadecimal(identity.revision, digits: 2)),
      .init("Configuration space", "\(configurationSpace.rawValue) bytes"),
    ]
  }

  private var interruptFacts: [ManualSection.Fact] {
    var facts: [ManualSection.Fact] = []
    if let pin = interrupts.pin { facts.append(.init("INTx", "pin \("\(pin)".uppercased())")) }
    if let msi = interrupts.msi {
      facts.append(
        .init("MSI", "\(msi.vectorCount) \(msi.vectorCount == 1 ? "vector" : "vectors")"))
    }
    if let msix = interrupts.msix {
      facts.append(
        .init(
          "MSI-X",
          "\(msix.vectorCount) \(msix.vectorCount == 1 ? "vector" : "vectors"), table in BAR"
            + " \(msix.table.bar) at \(hexadecimal(msix.table.offset)), pending bits in BAR"
            + " \(msix.pendingBits.bar) at \(hexadecimal(msix.pendingBits.offset))"))
    }
    if facts.isEmpty { facts.append(.init("Interrupts", "none")) }
    return facts
  }

  private var windowSection: ManualSection {
    var rows: [[String]] = []
    for bar in bars {
      let size = KnobType.text(byteCount: Int(clamping: bar.byteCount))
      rows.append(["\(bar.index)", bar.kind.name, size, bar.summary])
      for content in bar.contents {
        rows.append(["", "  at \(hexadecimal(content.offset))", "", content.manualLine])
      }
    }
    return ManualSection("Windows", columns: ["BAR", "Kind", "Size", "Contents"], rows: rows)
  }

  /// How parts of the windows wish to be reached; nil when all are by messages.
  private var pathSection: ManualSection? {
    var rows: [[String]] = []
    for bar in bars {
      for content in bar.contents {
        for path in content.paths where path.kind != .message {
          let place = path.moved(by: content.offset)
          rows.append([
            "\(bar.index)", hexadecimal(place.offset.rawValue),
            path.byteCount == 0 ? "any" : "\(path.byteCount)", path.summary,
          ])
        }
      }
    }
    guard !rows.isEmpty else { return nil }
    return ManualSection(
      "Paths", columns: ["BAR", "From", "Bytes", "Reached by"], rows: rows,
      notes: ["Everything else, and whatever a client cannot do, is reached by messages."])
  }
}

extension BARContent {
  fileprivate var manualLine: String {
    if case .registers = kind { return "\(name), see below" }
    return "\(name), \(byteCount) bytes. \(summary)"
  }
}

extension AnyRegisterBlock {
  /// What the block does with accesses that are not one whole register, for the manual.
  fileprivate var accessNotes: String {
    var notes =
      wideAccess == .split
      ? "An access wider than a register reaches each register that it covers."
      : "An access wider than a register is refused."
    if smallestAccess > 1 {
      notes += " An access to a part of a register needs at least \(smallestAccess) bytes."
    }
    return notes
  }
}
