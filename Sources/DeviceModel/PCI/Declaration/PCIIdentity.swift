/// Who a function says it is: the read-only fields at the start of its configuration space.
///
/// Source: PCI Local Bus Specification 3.0, section 6.2.1.
public struct PCIIdentity: Hashable, Sendable {
  /// The manufacturer of the device. 0xffff is not a vendor.
  public var vendor: UInt16
  /// The device, as numbered by its vendor.
  public var device: UInt16
  /// The manufacturer of the board; 0 when there is none.
  public var subsystemVendor: UInt16
  /// The board, as numbered by its manufacturer.
  public var subsystem: UInt16
  /// The revision of the device.
  public var revision: UInt8
  /// What sort of device it is.
  public var classCode: PCIClassCode

  /// An identity. Without a subsystem the two subsystem fields read 0.
  public init(
    vendor: UInt16, device: UInt16, subsystemVendor: UInt16 = 0, subsystem: UInt16 = 0,
    revision: UInt8 = 0, classCode: PCIClassCode = .unassigned
  ) {
    self.vendor = vendor
    self.device = device
    self.subsystemVendor = subsystemVendor
    self.subsystem = subsystem
    self.revision = revision
    self.classCode = classCode
  }
}
