/// What a device says about itself.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_INFO`; `VFIO_DEVICE_FLAGS_*` in
/// `linux/vfio.h`.
public struct DeviceFlags: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire; unknown ones are kept.
  public let rawValue: UInt32

  /// Makes flags from the bits on the wire.
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// The device answers `VFIO_USER_DEVICE_RESET`.
  public static let reset = DeviceFlags(rawValue: 1 << 0)
  /// The device is a PCI function.
  public static let pci = DeviceFlags(rawValue: 1 << 1)
  /// The device is a platform device.
  public static let platform = DeviceFlags(rawValue: 1 << 2)
}
