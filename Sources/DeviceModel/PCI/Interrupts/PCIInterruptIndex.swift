/// The interrupt types of a PCI device, as VFIO numbers them.
///
/// Source: `enum` of `VFIO_PCI_*_IRQ_INDEX` in the kernel's `linux/vfio.h`.
public enum PCIInterruptIndex: Int, Hashable, Sendable, CaseIterable {
  /// The interrupt pin.
  case intx
  /// Message-signalled interrupts.
  case msi
  /// Extended message-signalled interrupts.
  case msix
  /// Errors that the client should know of.
  case error
  /// A request to let go of the device.
  case request
}

/// The regions of a PCI device, as VFIO numbers them; BARs are 0 to 5.
///
/// Source: `enum` of `VFIO_PCI_*_REGION_INDEX` in the kernel's `linux/vfio.h`.
public enum PCIRegionIndex {
  /// The expansion ROM.
  public static let expansionROM = 6
  /// Configuration space.
  public static let configurationSpace = 7
  /// The legacy VGA ranges; no device of this package has them.
  public static let vga = 8
  /// How many indexes there are.
  public static let count = 9
}
