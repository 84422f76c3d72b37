/// What a device tells every client about itself: its flags, regions and interrupt types.
///
/// Source: vfio-user, VFIO_USER_DEVICE_GET_INFO, GET_REGION_INFO, GET_IRQ_INFO.
public struct DeviceLayout: Sendable {
  /// Bus and abilities.
  public var flags: DeviceFlags
  /// The regions, by index. An index without a region has a layout of zero bytes.
  public var regions: [RegionLayout]
  /// The interrupt types, by index.
  public var interrupts: [InterruptLayout]

  /// Makes a layout.
  public init(flags: DeviceFlags, regions: [RegionLayout], interrupts: [InterruptLayout]) {
    self.flags = flags
    self.regions = regions
    self.interrupts = interrupts
  }
}
