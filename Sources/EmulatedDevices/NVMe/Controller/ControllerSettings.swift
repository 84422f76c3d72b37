/// What a controller is made with.
struct ControllerSettings {
  var serialNumber: String
  /// How many pairs of I/O queues there can be.
  var queueCount: Int
  /// How many threads serve them; 0 for the device's own.
  var threadCount: Int
  var doorbells: DoorbellMode
  var limits: TransferLimits

  static let modelNumber = "swift-vfio-user NVMe"
  static let firmwareRevision = "1.0"
}
