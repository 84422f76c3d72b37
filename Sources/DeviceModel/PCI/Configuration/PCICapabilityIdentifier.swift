/// The number that says what a capability in the first 256 bytes is.
///
/// Source: PCI Code and ID Assignment Specification, section 2.
public struct PCICapabilityIdentifier: RawRepresentable, Hashable, Sendable {
  /// The number, as it stands in configuration space.
  public let rawValue: UInt8

  /// The identifier with the given number.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Power management.
  public static let powerManagement = Self(rawValue: 0x01)
  /// Message-signalled interrupts.
  public static let msi = Self(rawValue: 0x05)
  /// A structure of the vendor's own.
  public static let vendor = Self(rawValue: 0x09)
  /// PCI Express.
  public static let pciExpress = Self(rawValue: 0x10)
  /// Extended message-signalled interrupts.
  public static let msix = Self(rawValue: 0x11)

  /// The name of the capability, or "Capability 0xNN".
  public var name: String {
    switch rawValue {
    case 0x01: "Power Management"
    case 0x02: "AGP"
    case 0x03: "Vital Product Data"
    case 0x04: "Slot Identification"
    case 0x05: "MSI"
    case 0x06: "CompactPCI Hot Swap"
    case 0x07: "PCI-X"
    case 0x08: "HyperTransport"
    case 0x09: "Vendor Specific"
    case 0x0a: "Debug Port"
    case 0x0c: "PCI Hot-Plug"
    case 0x0d: "Bridge Subsystem"
    case 0x10: "PCI Express"
    case 0x11: "MSI-X"
    case 0x12: "SATA Configuration"
    case 0x13: "Advanced Features"
    case 0x14: "Enhanced Allocation"
    default: "Capability 0x" + String(rawValue, radix: 16)
    }
  }
}

/// The number that says what a capability in extended configuration space is.
///
/// Source: PCI Code and ID Assignment Specification, section 3.
public struct PCIExtendedCapabilityIdentifier: RawRepresentable, Hashable, Sendable {
  /// The number, as it stands in configuration space.
  public let rawValue: UInt16

  /// The identifier with the given number.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Advanced error reporting.
  public static let advancedErrorReporting = Self(rawValue: 0x0001)
  /// The device's serial number.
  public static let deviceSerialNumber = Self(rawValue: 0x0003)
  /// A structure of the vendor's own.
  public static let vendor = Self(rawValue: 0x000b)

  /// The name of the capability, or "Extended capability 0xNN".
  public var name: String {
    switch rawValue {
    case 0x0001: "Advanced Error Reporting"
    case 0x0002, 0x0009: "Virtual Channel"
    case 0x0003: "Device Serial Number"
    case 0x0004: "Power Budgeting"
    case 0x000b: "Vendor Specific Information"
    case 0x000d: "Access Control Services"
    case 0x000e: "Alternative Routing-ID Interpretation"
    case 0x000f: "Address Translation Service"
    case 0x0010: "Single Root I/O Virtualization"
    case 0x0013: "Page Request Interface"
    case 0x0015: "Resizable BAR"
    case 0x0017: "TPH Requester"
    case 0x0018: "Latency Tolerance Reporting"
    case 0x0019: "Secondary PCI Express"
    case 0x001b: "Process Address Space ID"
    case 0x001e: "L1 PM Substates"
    case 0x001f: "Precision Time Measurement"
    case 0x0025: "Data Link Feature"
    default: "Extended capability 0x" + String(rawValue, radix: 16)
    }
  }
}
