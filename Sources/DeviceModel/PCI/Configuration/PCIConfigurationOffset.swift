/// Offsets of the registers in a type 0 configuration space header, in bytes.
///
/// Source: PCI Local Bus Specification 3.0, section 6.1.
enum PCIConfigurationOffset {
  static let vendor = 0x00
  static let device = 0x02
  static let command = 0x04
  static let status = 0x06
  static let revision = 0x08
  static let classCode = 0x09
  static let cacheLineSize = 0x0c
  static let latencyTimer = 0x0d
  static let headerType = 0x0e
  static let selfTest = 0x0f
  static let bar0 = 0x10
  static let subsystemVendor = 0x2c
  static let subsystem = 0x2e
  static let expansionROM = 0x30
  static let capabilities = 0x34
  static let interruptLine = 0x3c
  static let interruptPin = 0x3d
  static let firstCapability = 0x40
  static let firstExtendedCapability = 0x100
}

/// The bits of the Command register that this package acts on.
///
/// Source: PCI Local Bus Specification 3.0, section 6.2.2.
struct PCICommand: OptionSet, Equatable, Sendable {
  let rawValue: UInt16

  static let ioSpace = PCICommand(rawValue: 1 << 0)
  static let memorySpace = PCICommand(rawValue: 1 << 1)
  static let busMaster = PCICommand(rawValue: 1 << 2)
  static let parityErrorResponse = PCICommand(rawValue: 1 << 6)
  static let systemErrorEnable = PCICommand(rawValue: 1 << 8)
  static let interruptDisable = PCICommand(rawValue: 1 << 10)
}

/// The bits of the Status register that this package acts on.
///
/// Source: PCI Local Bus Specification 3.0, section 6.2.3.
struct PCIStatus: OptionSet, Equatable, Sendable {
  let rawValue: UInt16

  static let interrupt = PCIStatus(rawValue: 1 << 3)
  static let capabilityList = PCIStatus(rawValue: 1 << 4)
  /// The error bits; writing one to them clears them.
  static let errors = PCIStatus(rawValue: 0xf900)
}
