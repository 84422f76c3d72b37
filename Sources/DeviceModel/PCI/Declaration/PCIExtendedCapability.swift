/// A capability in the extended configuration space, from 0x100 on.
///
/// Only a PCI Express function with 4096 bytes of configuration space has them. The chain is linked
/// in the order of the declaration; the first one always lies at 0x100.
public enum PCIExtendedCapability: Hashable, Sendable {
  /// Advanced error reporting (AER): status, mask, severity and header log registers.
  case advancedErrorReporting
  /// The device's 64-bit serial number.
  case deviceSerialNumber(UInt64)
  /// Bytes whose meaning only the vendor knows, see ``PCIVendorExtendedCapability``.
  case vendor(PCIVendorExtendedCapability)
}
