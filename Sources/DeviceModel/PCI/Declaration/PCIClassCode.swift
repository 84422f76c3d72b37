/// The class code of a function: what sort of device a driver finds, as three bytes.
///
/// Source: PCI Code and ID Assignment Specification, section 1.
public struct PCIClassCode: Hashable, Sendable {
  /// The base class, such as 0x01 for mass storage.
  public var base: UInt8
  /// The sub-class within the base class.
  public var sub: UInt8
  /// The register-level programming interface of the sub-class.
  public var programmingInterface: UInt8

  /// A class code from its three bytes.
  public init(base: UInt8, sub: UInt8, programmingInterface: UInt8 = 0) {
    self.base = base
    self.sub = sub
    self.programmingInterface = programmingInterface
  }

  /// The three bytes as one 24-bit number, the base class highest.
  public var rawValue: UInt32 {
    UInt32(base) << 16 | UInt32(sub) << 8 | UInt32(programmingInterface)
  }

  /// A device that fits no defined class (0xff0000).
  public static let unassigned = PCIClassCode(base: 0xff, sub: 0x00)
  /// A non-volatile memory controller that speaks NVM Express (0x010802).
  public static let nonVolatileMemoryExpress = PCIClassCode(
    base: 0x01, sub: 0x08, programmingInterface: 0x02)
  /// An Ethernet controller (0x020000).
  public static let ethernet = PCIClassCode(base: 0x02, sub: 0x00)
  /// A serial port controller compatible with the 16550 (0x070002).
  public static let serial16550 = PCIClassCode(base: 0x07, sub: 0x00, programmingInterface: 0x02)
  /// A data-acquisition or signal controller without a sub-class of its own (0x118000).
  public static let signalProcessingOther = PCIClassCode(base: 0x11, sub: 0x80)
  /// A system peripheral without a sub-class of its own (0x088000).
  public static let systemPeripheralOther = PCIClassCode(base: 0x08, sub: 0x80)
}
