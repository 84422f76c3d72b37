/// What a client may do with a region.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_REGION_INFO`; `VFIO_REGION_INFO_FLAG_*`
/// in `linux/vfio.h`.
public struct RegionFlags: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire; unknown ones are kept.
  public let rawValue: UInt32

  /// Makes flags from the bits on the wire.
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// The region can be read.
  public static let read = RegionFlags(rawValue: 1 << 0)
  /// The region can be written.
  public static let write = RegionFlags(rawValue: 1 << 1)
  /// The region, or parts of it, can be mapped; a descriptor accompanies the reply.
  public static let mmap = RegionFlags(rawValue: 1 << 2)
  /// Capabilities follow the structure.
  public static let capabilities = RegionFlags(rawValue: 1 << 3)
}
