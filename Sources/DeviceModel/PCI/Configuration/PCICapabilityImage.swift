/// A register of a capability, to be defined at the offset that the capability gets.
struct PCICapabilityField {
  /// Defines the register in a space, for a capability at the given offset.
  let define: (_ space: inout PCIConfigurationSpace, _ capability: Int) -> Void

  init<Value: FixedWidthInteger & UnsignedInteger & Sendable>(
    _ offset: Int, _ value: Value, writable: Value = 0, clearedByOne: Value = 0,
    sticky: Value = 0
  ) {
    define = { space, capability in
      space.define(
        at: capability + offset, value, writable: writable, clearedByOne: clearedByOne,
        sticky: sticky)
    }
  }

  /// Raw content with the bits that a driver may change.
  static func bytes(_ content: [UInt8], writable: [UInt8], at offset: Int) -> [Self] {
    content.enumerated().map { index, value in
      Self(offset + index, value, writable: index < writable.count ? writable[index] : 0)
    }
  }
}

/// A capability of the first 256 bytes as registers, before it has a place.
struct PCICapabilityImage {
  let identifier: PCICapabilityIdentifier
  let byteCount: Int
  /// The place that the declaration asks for.
  let offset: Int?
  let fields: [PCICapabilityField]

  init(_ capability: PCICapability) throws(PCIHardwareError) {
    offset = capability.offset
    switch capability.kind {
    case .powerManagement(let power):
      identifier = .powerManagement
      byteCount = 8
      fields = [
        PCICapabilityField(2, UInt16(0x0003)),
        PCICapabilityField(4, UInt16(power.keepsState ? 0x0008 : 0), writable: 0x0003),
      ]
    case .pciExpress(let express):
      identifier = .pciExpress
      byteCount = 0x3c
      fields = Self.fields(of: express)
    case .vendor(let vendor):
      identifier = .vendor
      byteCount = 3 + vendor.content.count
      guard byteCount <= 192 else {
        throw PCIHardwareError(
          .badCapability,
          "Vendor Specific: \(vendor.content.count) bytes of content; 189 fit at most")
      }
      fields =
        [PCICapabilityField(2, UInt8(byteCount))]
        + PCICapabilityField.bytes(vendor.content, writable: vendor.writable, at: 3)
    }
  }

  /// Source: PCI Local Bus Specification 3.0, section 6.8.1.
  init(_ msi: PCIInterrupts.MSI) {
    let registers = MSIRegisters(msi)
    identifier = .msi
    offset = msi.offset
    byteCount = registers.byteCount
    let requested = UInt16(msi.vectorCount.trailingZeroBitCount)
    let control: UInt16 =
      requested << 1 | (msi.is64Bit ? 0x80 : 0) | (msi.hasVectorMasking ? 0x100 : 0)
    var fields = [
      PCICapabilityField(2, control, writable: 0x0071),
      PCICapabilityField(4, UInt32(0), writable: 0xffff_fffc),
      PCICapabilityField(registers.data, UInt16(0), writable: 0xffff),
    ]
    if msi.is64Bit { fields.append(PCICapabilityField(8, UInt32(0), writable: 0xffff_ffff)) }
    if let mask = registers.mask {
      let vectors = UInt32(truncatingIfNeeded: (UInt64(1) << msi.vectorCount) - 1)
      fields.append(PCICapabilityField(mask, UInt32(0), writable: vectors))
    }
    self.fields = fields
  }

  /// Source: PCI Local Bus Specification 3.0, section 6.8.2.
  init(_ msix: PCIInterrupts.MSIX) {
    identifier = .msix
    offset = msix.offset
    byteCount = 12
    fields = [
      PCICapabilityField(
        2, UInt16(truncatingIfNeeded: msix.vectorCount - 1) & 0x07ff, writable: 0xc000),
      PCICapabilityField(4, Self.register(of: msix.table)),
      PCICapabilityField(8, Self.register(of: msix.pendingBits)),
    ]
  }

  private static func register(of place: PCIInterrupts.MSIX.Place) -> UInt32 {
    UInt32(truncatingIfNeeded: place.offset) & ~7 | UInt32(truncatingIfNeeded: place.bar) & 7
  }

  /// Source: PCI Express Base Specification 3.1, section 7.8.
  private static func fields(of express: PCIExpress) -> [PCICapabilityField] {
    let deviceCapabilities: UInt32 =
      1 << 15  // role-based error reporting
      | 1 << 5  // extended tags
      | (express.hasFunctionLevelReset ? 1 << 28 : 0)
    var fields = [
      PCICapabilityField(2, UInt16(2) | UInt16(express.port.rawValue) << 4),
      PCICapabilityField(4, deviceCapabilities),
      // Relaxed ordering, no snoop and read requests of 512 bytes after power-on.
      PCICapabilityField(8, UInt16(0x2810), writable: 0x791f),
      PCICapabilityField(10, UInt16(0), clearedByOne: 0x000f),
      // Completion timeouts can be disabled.
      PCICapabilityField(0x24, UInt32(1 << 4)),
      PCICapabilityField(0x28, UInt16(0), writable: 0x0010),
    ]
    if express.port != .rootComplexIntegratedEndpoint {
      // A link of one lane at 2.5 GT/s.
      fields += [
        PCICapabilityField(0x0c, UInt32(0x11)),
        PCICapabilityField(0x10, UInt16(0), writable: 0x00cb),
        PCICapabilityField(0x12, UInt16(0x11)),
        PCICapabilityField(0x2c, UInt32(0x2)),
        PCICapabilityField(0x30, UInt16(0x1)),
      ]
    }
    return fields
  }
}

/// Where the registers of an MSI capability lie; it depends on its two options.
///
/// Source: PCI Local Bus Specification 3.0, figure 6-9.
struct MSIRegisters {
  /// Message Data.
  let data: Int
  /// Mask Bits, when each vector can be masked.
  let mask: Int?
  /// Pending Bits, when each vector can be masked.
  let pending: Int?
  /// The size of the capability.
  let byteCount: Int

  init(is64Bit: Bool, hasVectorMasking: Bool) {
    data = is64Bit ? 0x0c : 0x08
    mask = hasVectorMasking ? data + 4 : nil
    pending = hasVectorMasking ? data + 8 : nil
    byteCount = hasVectorMasking ? data + 12 : data + 2
  }

  init(_ msi: PCIInterrupts.MSI) {
    self.init(is64Bit: msi.is64Bit, hasVectorMasking: msi.hasVectorMasking)
  }
}

/// An extended capability as registers, before it has a place.
struct PCIExtendedCapabilityImage {
  let identifier: PCIExtendedCapabilityIdentifier
  let version: UInt8
  let byteCount: Int
  let fields: [PCICapabilityField]

  init(_ capability: PCIExtendedCapability) throws(PCIHardwareError) {
    switch capability {
    case .advancedErrorReporting:
      identifier = .advancedErrorReporting
      version = 2
      byteCount = 0x48
      fields = Self.errorReporting
    case .deviceSerialNumber(let number):
      identifier = .deviceSerialNumber
      version = 1
      byteCount = 12
      fields = [PCICapabilityField(4, number)]
    case .vendor(let vendor):
      identifier = .vendor
      version = 1
      byteCount = 8 + vendor.content.count
      guard vendor.content.count <= 4096 - 0x100 - 8, vendor.revision < 16 else {
        throw PCIHardwareError(
          .badCapability,
          "Vendor Specific Information: \(vendor.content.count) bytes, revision"
            + " \(vendor.revision); 3832 bytes and revision 15 are the most")
      }
      let header =
        UInt32(vendor.identifier) | UInt32(vendor.revision) << 16 | UInt32(byteCount) << 20
      fields =
        [PCICapabilityField(4, header)]
        + PCICapabilityField.bytes(vendor.content, writable: vendor.writable, at: 8)
    }
  }

  /// Source: PCI Express Base Specification 3.1, section 7.10. Status, mask, severity and log
  /// outlive a reset.
  private static var errorReporting: [PCICapabilityField] {
    let uncorrectable: UInt32 = 0x007f_f030
    let correctable: UInt32 = 0x0000_f1c1
    return [
      PCICapabilityField(
        0x04, UInt32(0), clearedByOne: uncorrectable, sticky: uncorrectable),
      PCICapabilityField(
        0x08, UInt32(0x0040_0000), writable: uncorrectable, sticky: uncorrectable),
      PCICapabilityField(
        0x0c, UInt32(0x0046_2030), writable: uncorrectable, sticky: uncorrectable),
      PCICapabilityField(0x10, UInt32(0), clearedByOne: correctable, sticky: correctable),
      PCICapabilityField(
        0x14, UInt32(0x0000_e000), writable: correctable, sticky: correctable),
      PCICapabilityField(0x18, UInt32(0)),
    ]
  }
}
