/// The kind of a device-specific region.
///
/// Source: `struct vfio_region_info_cap_type` in `linux/vfio.h`.
public struct RegionType: Hashable, Sendable {
  /// Who defines the subtypes: bit 31 and a PCI vendor identity, or one of the kernel's numbers.
  public var type: UInt32
  /// The kind within the type.
  public var subtype: UInt32

  /// Makes a kind.
  public init(type: UInt32, subtype: UInt32) {
    self.type = type
    self.subtype = subtype
  }
}
