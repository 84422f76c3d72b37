/// Offsets in a type 0 configuration header, in bytes, and bits that the bus acts on.
///
/// Source: PCI Local Bus Specification 3.0, section 6.1.
enum PCIHeader {
  static let vendor = 0x00
  static let command = 0x04
  static let status = 0x06
  static let headerType = 0x0e
  static let firstBAR = 0x10
  static let barCount = 6
  static let expansionROM = 0x30
  static let capabilities = 0x34
  static let interruptLine = 0x3c
  static let interruptPin = 0x3d
  /// The size of the space that the configuration ports reach, in bytes.
  static let byteCount = 256

  /// Bits of the command register.
  enum Command {
    static let ioSpace: UInt16 = 1 << 0
    static let memorySpace: UInt16 = 1 << 1
    static let busMaster: UInt16 = 1 << 2
    static let interruptDisable: UInt16 = 1 << 10
  }
}
