/// A capability in the first 256 bytes of configuration space.
///
/// MSI and MSI-X are declared in ``PCIInterrupts`` and get their capabilities from there. The chain
/// is linked in the order of the declaration, MSI and MSI-X after it; a capability takes the first
/// free place from 0x40 on, unless it says where it wants to be.
public struct PCICapability: Hashable, Sendable {
  /// What the capability is.
  public var kind: Kind
  /// Its offset in configuration space, a multiple of 4 from 0x40 on; `nil` lets the package
  /// choose.
  public var offset: Int?

  /// A capability, at a place of its own or at the first free one.
  public init(_ kind: Kind, at offset: Int? = nil) {
    self.kind = kind
    self.offset = offset
  }

  /// The capabilities that a device can declare.
  public enum Kind: Hashable, Sendable {
    /// Power management, see ``PCIPowerManagement``.
    case powerManagement(PCIPowerManagement)
    /// PCI Express, see ``PCIExpress``.
    case pciExpress(PCIExpress)
    /// Bytes whose meaning only the vendor knows, see ``PCIVendorCapability``.
    case vendor(PCIVendorCapability)
  }

  /// Power management; D0 and D3hot.
  ///
  /// Without `keepsState` a return from D3hot to D0 resets the device.
  public static func powerManagement(keepsState: Bool = false, at offset: Int? = nil) -> Self {
    Self(.powerManagement(PCIPowerManagement(keepsState: keepsState)), at: offset)
  }

  /// A PCI Express endpoint.
  public static func pciExpress(
    _ port: PCIExpress.PortType = .endpoint, functionLevelReset: Bool = true,
    at offset: Int? = nil
  ) -> Self {
    Self(
      .pciExpress(PCIExpress(port: port, hasFunctionLevelReset: functionLevelReset)), at: offset)
  }

  /// A vendor-specific capability with the given content (without its three header bytes).
  ///
  /// - Parameter writable: which bits a driver may change; shorter than `content` means read-only
  ///   from there on.
  public static func vendor(_ content: [UInt8], writable: [UInt8] = [], at offset: Int? = nil)
    -> Self
  {
    Self(.vendor(PCIVendorCapability(content: content, writable: writable)), at: offset)
  }
}
