/// What changes about a machine.
struct MachineState: Sendable {
  var devices: [AttachedDevice] = []
  var source: GuestSource?
  var hasRun = false
  var isStopped = false
  var runner: MachineRunner?
}
