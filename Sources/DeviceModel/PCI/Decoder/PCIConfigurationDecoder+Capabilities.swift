extension PCIConfigurationDecoder {
  typealias Line = PCIConfigurationReport.Line

  /// What a capability of the first 256 bytes says.
  func lines(of identifier: PCICapabilityIdentifier, at offset: Int) -> [Line] {
    switch identifier {
    case .powerManagement: powerManagement(offset)
    case .msi: msi(offset)
    case .msix: msix(offset)
    case .pciExpress: pciExpress(offset)
    case .vendor: [Line("Length", "\(load(offset + 2, as: UInt8.self))")]
    default: []
    }
  }

  /// What a capability of the extended space says, after its version.
  func extendedLines(
    of identifier: PCIExtendedCapabilityIdentifier, at offset: Int
  ) -> [Line] {
    switch identifier {
    case .advancedErrorReporting: return errorReporting(offset)
    case .deviceSerialNumber:
      let number: UInt64 = load(offset + 4)
      let octets = (0..<8).reversed().map { hexadecimalDigits(number >> ($0 * 8) & 0xff, 2) }
      return [Line("Serial number", octets.joined(separator: "-"))]
    case .vendor:
      let header: UInt32 = load(offset + 4)
      return [
        Line("ID", hexadecimalDigits(header & 0xffff, 4)),
        Line("Revision", "\(header >> 16 & 0xf)"),
        Line("Length", "\(header >> 20)"),
      ]
    default: return []
    }
  }

  private func powerManagement(_ offset: Int) -> [Line] {
    let capabilities: UInt16 = load(offset + 2)
    let control: UInt16 = load(offset + 4)
    return [
      Line("Version", "\(capabilities & 7)"),
      Line("Supports", flagText(capabilities, [9: "D1", 10: "D2"])),
      Line(
        "Status",
        "D\(control & 3) " + flagText(control, [3: "NoSoftRst", 8: "PME-Enable", 15: "PME"])),
    ]
  }

  private func msi(_ offset: Int) -> [Line] {
    let control: UInt16 = load(offset + 2)
    let is64Bit = control & 0x80 != 0
    let hasMasking = control & 0x100 != 0
    let registers = MSIRegisters(is64Bit: is64Bit, hasVectorMasking: hasMasking)
    let low: UInt32 = load(offset + 4)
    let high: UInt32 = is64Bit ? load(offset + 8) : 0
    var lines = [
      Line("Enable", control & 1 != 0 ? "yes" : "no"),
      Line("Vectors", "\(1 << (control >> 4 & 7)) of \(1 << (control >> 1 & 7))"),
      Line("64-bit", is64Bit ? "yes" : "no"),
      Line("Address", hexadecimalDigits(UInt64(high) << 32 | UInt64(low), is64Bit ? 16 : 8)),
      Line("Data", hexadecimalDigits(load(offset + registers.data, as: UInt16.self), 4)),
    ]
    if let mask = registers.mask, let pending = registers.pending {
      lines.append(Line("Mask", hexadecimalDigits(load(offset + mask, as: UInt32.self), 8)))
      lines.append(Line("Pending", hexadecimalDigits(load(offset + pending, as: UInt32.self), 8)))
    }
    return lines
  }

  private func msix(_ offset: Int) -> [Line] {
    let control: UInt16 = load(offset + 2)
    let table: UInt32 = load(offset + 4)
    let pending: UInt32 = load(offset + 8)
    return [
      Line("Enable", control & 0x8000 != 0 ? "yes" : "no"),
      Line("Function mask", control & 0x4000 != 0 ? "yes" : "no"),
      Line("Vectors", "\((control & 0x7ff) + 1)"),
      Line("Table", "BAR \(table & 7) offset \(hexadecimalDigits(table & ~7, 8))"),
      Line("Pending bits", "BAR \(pending & 7) offset \(hexadecimalDigits(pending & ~7, 8))"),
    ]
  }

  private func pciExpress(_ offset: Int) -> [Line] {
    let register: UInt16 = load(offset + 2)
    let deviceCapabilities: UInt32 = load(offset + 4)
    let deviceControl: UInt16 = load(offset + 8)
    let deviceStatus: UInt16 = load(offset + 10)
    let port = register >> 4 & 0xf
    let name =
      switch port {
      case 0: "Endpoint"
      case 1: "Legacy Endpoint"
      case 4: "Root Port"
      case 5: "Upstream Switch Port"
      case 6: "Downstream Switch Port"
      case 7: "PCI Express to PCI Bridge"
      case 9: "Root Complex Integrated Endpoint"
      case 10: "Root Complex Event Collector"
      default: "type \(port)"
      }
    var lines = [
      Line("Version", "\(register & 0xf)"),
      Line("Port", name),
      Line(
        "Device capabilities",
        "MaxPayload \(128 << (deviceCapabilities & 7)) bytes, "
          + flagText(deviceCapabilities, [5: "ExtTag", 15: "RBE", 28: "FLReset"])),
      Line(
        "Device control",
        flagText(
          deviceControl,
          [
            0: "CorrErr", 1: "NonFatalErr", 2: "FatalErr", 3: "UnsupReq", 4: "RlxdOrd",
            8: "ExtTag", 11: "NoSnoop",
          ])
          + ", MaxPayload \(128 << (deviceControl >> 5 & 7)) bytes, MaxReadReq"
          + " \(128 << (deviceControl >> 12 & 7)) bytes"),
      Line(
        "Device status",
        flagText(
          deviceStatus,
          [
            0: "CorrErr", 1: "NonFatalErr", 2: "FatalErr", 3: "UnsupReq", 4: "AuxPwr",
            5: "TransPend",
          ])),
    ]
    if port != 9, port != 10 {
      let capabilities: UInt32 = load(offset + 0x0c)
      let status: UInt16 = load(offset + 0x12)
      lines.append(
        Line("Link capabilities", linkText(capabilities & 0xf, capabilities >> 4 & 0x3f)))
      lines.append(Line("Link status", linkText(UInt32(status & 0xf), UInt32(status >> 4 & 0x3f))))
    }
    return lines
  }

  private func linkText(_ speed: UInt32, _ width: UInt32) -> String {
    let speeds = ["2.5", "5", "8", "16", "32", "64"]
    let text = (1...6).contains(speed) ? speeds[Int(speed) - 1] + " GT/s" : "speed \(speed)"
    return "\(text), width x\(width)"
  }

  private func errorReporting(_ offset: Int) -> [Line] {
    let uncorrectable: KeyValuePairs<Int, String> = [
      4: "DLP", 5: "SDES", 12: "TLP", 13: "FCP", 14: "CmpltTO", 15: "CmpltAbrt", 16: "UnxCmplt",
      17: "RxOF", 18: "MalfTLP", 19: "ECRC", 20: "UnsupReq", 21: "ACSViol", 22: "UncorrIntErr",
    ]
    let correctable: KeyValuePairs<Int, String> = [
      0: "RxErr", 6: "BadTLP", 7: "BadDLLP", 8: "Rollover", 12: "Timeout", 13: "AdvNonFatalErr",
      14: "CorrIntErr", 15: "HeaderOF",
    ]
    return [
      Line("Uncorrectable status", flagText(load(offset + 0x04, as: UInt32.self), uncorrectable)),
      Line("Uncorrectable mask", flagText(load(offset + 0x08, as: UInt32.self), uncorrectable)),
      Line("Uncorrectable severity", flagText(load(offset + 0x0c, as: UInt32.self), uncorrectable)),
      Line("Correctable status", flagText(load(offset + 0x10, as: UInt32.self), correctable)),
      Line("Correctable mask", flagText(load(offset + 0x14, as: UInt32.self), correctable)),
    ]
  }
}
