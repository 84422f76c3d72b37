/// A BAR of an attached device: its register, its region, and where it is.
///
/// Confined to whoever holds the lock of its device.
struct DeviceWindow {
  /// The register.
  let bar: PCIBaseAddress
  /// The region behind it, and how it is reached.
  var window: RegionWindow
  /// Where it is; nil while it is nowhere.
  var address: GuestAddress?
  /// Where the guest wants it and something else is.
  var refusedAddress: GuestAddress?

  /// Memory or ports.
  var space: GuestSpace { bar.isPort ? .port : .memory }
}
