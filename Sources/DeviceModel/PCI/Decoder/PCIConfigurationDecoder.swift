/// Decodes the configuration space of any PCI function, as `lspci -vv` would.
///
/// It trusts nothing: the bytes may be cut short, and chains may loop or lead nowhere.
public struct PCIConfigurationDecoder {
  let bytes: [UInt8]
  /// The sizes of the BARs and of the ROM (index 6), when they are known from elsewhere.
  private let byteCounts: [Int: UInt64]

  /// A decoder of the given bytes.
  ///
  /// - Parameters:
  ///   - bytes: configuration space from its start; 256 or 4096 bytes normally, any number will do.
  ///   - regionByteCounts: the sizes of regions 0 to 6 in bytes; configuration space does not tell
  ///   them.
  public init(_ bytes: [UInt8], regionByteCounts: [Int: UInt64] = [:]) {
    self.bytes = bytes
    byteCounts = regionByteCounts
  }

  /// The decoded header and capabilities.
  public func decode() -> PCIConfigurationReport {
    guard bytes.count >= 64 else {
      return PCIConfigurationReport(sections: [
        .init(
          offset: 0, title: "Header",
          lines: [.init("Error", "only \(bytes.count) bytes of configuration space; 64 are needed")]
        )
      ])
    }
    return PCIConfigurationReport(sections: [header] + capabilities + extendedCapabilities)
  }

  /// The little-endian value at `offset`; bytes beyond the end count as 0.
  func load<Value: FixedWidthInteger & UnsignedInteger>(
    _ offset: Int, as type: Value.Type = Value.self
  ) -> Value {
    var value: Value = 0
    for index in 0..<(Value.bitWidth / 8) where bytes.indices.contains(offset + index) {
      value |= Value(truncatingIfNeeded: bytes[offset + index]) << (index * 8)
    }
    return value
  }

  // MARK: - Header

  private var header: PCIConfigurationReport.Section {
    typealias Line = PCIConfigurationReport.Line
    typealias Offset = PCIConfigurationOffset
    let classCode = PCIClassCode(
      base: bytes[Offset.classCode + 2], sub: bytes[Offset.classCode + 1],
      programmingInterface: bytes[Offset.classCode])
    var lines = [
      Line(
        "Device",
        hexadecimalDigits(load(Offset.vendor, as: UInt16.self), 4) + ":"
          + hexadecimalDigits(load(Offset.device, as: UInt16.self), 4)),
      Line(
        "Subsystem",
        hexadecimalDigits(load(Offset.subsystemVendor, as: UInt16.self), 4) + ":"
          + hexadecimalDigits(load(Offset.subsystem, as: UInt16.self), 4)),
      Line("Class", "\(classCode.name) [\(hexadecimalDigits(classCode.rawValue, 6))]"),
      Line("Revision", hexadecimalDigits(bytes[Offset.revision], 2)),
      Line(
        "Command",
        flagText(
          load(Offset.command, as: UInt16.self),
          [
            0: "I/O", 1: "Mem", 2: "BusMaster", 3: "SpecCycle", 4: "MemWINV", 5: "VGASnoop",
            6: "ParErr", 8: "SERR", 9: "FastB2B", 10: "DisINTx",
          ])),
      Line(
        "Status",
        flagText(
          load(Offset.status, as: UInt16.self),
          [
            4: "Cap", 5: "66MHz", 7: "FastB2B", 8: "ParErr", 11: ">TAbort", 12: "<TAbort",
            13: "<MAbort", 14: ">SERR", 15: "<PERR", 3: "INTx",
          ])),
      Line("Latency", "\(bytes[Offset.latencyTimer])"),
      Line("Cache line", "\(Int(bytes[Offset.cacheLineSize]) * 4) bytes"),
      Line("Header type", hexadecimalDigits(bytes[Offset.headerType], 2)),
    ]
    let pin = bytes[Offset.interruptPin]
    if (1...4).contains(pin) {
      let name = ["A", "B", "C", "D"][Int(pin) - 1]
      lines.append(
        Line("Interrupt", "pin \(name) routed to IRQ \(bytes[Offset.interruptLine])"))
    }
    if bytes[Offset.headerType] & 0x7f == 0 {
      lines += barLines
    }
    return .init(offset: 0, title: "Header", lines: lines)
  }

  private var barLines: [PCIConfigurationReport.Line] {
    var lines: [PCIConfigurationReport.Line] = []
    var index = 0
    while index < 6 {
      let register: UInt32 = load(PCIConfigurationOffset.bar0 + index * 4)
      let size = byteCounts[index].flatMap { $0 == 0 ? nil : " [size=\(sizeText($0))]" } ?? ""
      let is64Bit = register & 7 == 4
      // Some servers leave bits in registers of BARs that they do not have.
      let isAbsent = byteCounts[index] == 0
      if !isAbsent, register != 0 || !size.isEmpty {
        lines.append(.init("Region \(index)", barText(index, register) + size))
      }
      index += is64Bit ? 2 : 1
    }
    let rom: UInt32 = load(PCIConfigurationOffset.expansionROM)
    let size = byteCounts[6].flatMap { $0 == 0 ? nil : " [size=\(sizeText($0))]" } ?? ""
    if rom != 0 || !size.isEmpty {
      lines.append(
        .init(
          "Expansion ROM",
          "at \(hexadecimalDigits(rom & ~0x7ff, 8)) [\(rom & 1 != 0 ? "enabled" : "disabled")]"
            + size))
    }
    return lines
  }

  private func barText(_ index: Int, _ register: UInt32) -> String {
    if register & 1 != 0 { return "I/O ports at \(hexadecimalDigits(register & ~3, 4))" }
    let prefetch = register & 8 != 0 ? "prefetchable" : "non-prefetchable"
    guard register & 6 == 4, index < 5 else {
      return "Memory at \(hexadecimalDigits(register & ~0xf, 8)) (32-bit, \(prefetch))"
    }
    let high: UInt32 = load(PCIConfigurationOffset.bar0 + index * 4 + 4)
    let address = UInt64(high) << 32 | UInt64(register & ~0xf)
    return "Memory at \(hexadecimalDigits(address, 16)) (64-bit, \(prefetch))"
  }

  // MARK: - Chains

  private var capabilities: [PCIConfigurationReport.Section] {
    let status = PCIStatus(rawValue: load(PCIConfigurationOffset.status))
    guard status.contains(.capabilityList) else { return [] }
    var sections: [PCIConfigurationReport.Section] = []
    var seen: Set<Int> = []
    var offset = Int(bytes[PCIConfigurationOffset.capabilities]) & ~3
    while offset >= PCIConfigurationOffset.firstCapability, offset + 2 <= bytes.count {
      guard seen.insert(offset).inserted else {
        sections.append(
          .init(offset: offset, title: "Chain", lines: [.init("Error", "the chain loops")]))
        break
      }
      let identifier = PCICapabilityIdentifier(rawValue: bytes[offset])
      guard identifier.rawValue != 0xff else { break }
      sections.append(
        .init(offset: offset, title: identifier.name, lines: lines(of: identifier, at: offset)))
      offset = Int(bytes[offset + 1]) & ~3
    }
    return sections
  }

  private var extendedCapabilities: [PCIConfigurationReport.Section] {
    var sections: [PCIConfigurationReport.Section] = []
    var seen: Set<Int> = []
    var offset = PCIConfigurationOffset.firstExtendedCapability
    while offset >= PCIConfigurationOffset.firstExtendedCapability, offset + 4 <= bytes.count {
      let header: UInt32 = load(offset)
      guard header != 0, header != .max else { break }
      guard seen.insert(offset).inserted else {
        sections.append(
          .init(offset: offset, title: "Chain", lines: [.init("Error", "the chain loops")]))
        break
      }
      let identifier = PCIExtendedCapabilityIdentifier(
        rawValue: UInt16(truncatingIfNeeded: header))
      sections.append(
        .init(
          offset: offset, title: identifier.name,
          lines: [.init("Version", "\(header >> 16 & 0xf)")]
            + extendedLines(of: identifier, at: offset)))
      offset = Int(header >> 20) & ~3
    }
    return sections
  }
}
