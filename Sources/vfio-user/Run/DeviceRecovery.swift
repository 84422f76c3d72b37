import Glibc
import KVMSupport
import Synchronization
import VFIOUser

/// Connects devices again whose servers have ended, for so long as the command line says.
///
/// Threads: any; it waits on threads of its own.
final class DeviceRecovery: Sendable {
  private let seconds: Int
  private let target = Mutex<Machine?>(nil)

  init(seconds: Int) { self.seconds = seconds }

  /// Whose devices it looks after.
  var machine: Machine? {
    get { target.withLock { $0 } }
    set { target.withLock { $0 = newValue } }
  }

  /// Begins when a device is lost.
  func handle(_ event: MachineEvent) {
    guard seconds > 0, case .deviceLost(let address, _, _) = event, let machine,
      let device = machine.devices.first(where: { $0.address == address })
    else { return }
    let deadline = ContinuousClock.now + .seconds(seconds)
    // This is the machine's thread for events: while a server is away there is nothing else to tell.
    while ContinuousClock.now < deadline {
      do {
        return try machine.reconnect(device)
      } catch {
        guard error.code == .connection else {
          return MachineSession.report("run: \(error)")
        }
        usleep(20_000)
      }
    }
    MachineSession.report("run: \(address) did not come back within \(seconds) seconds")
  }
}
