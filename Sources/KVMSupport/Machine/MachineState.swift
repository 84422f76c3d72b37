/// What changes about a machine.
struct MachineState: Sendable {
  /// A device, and how it is reached.
  struct Device: Sendable {
    var device: AttachedDevice
    var connection: DeviceConnection
  }

  var devices: [Device] = []
  var source: GuestSource?
  var hasRun = false
  var isStopped = false
  var runner: MachineRunner?
}
