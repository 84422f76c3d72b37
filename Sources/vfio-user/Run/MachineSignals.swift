import DeviceProgram
import KVMSupport
import Synchronization
import VFIOUser

/// SIGTERM, SIGINT and SIGHUP for a machine: the first ends it in good order, the second at once.
///
/// Made before any thread.
final class MachineSignals {
  private let signals: TerminationSignals
  private let state = State()
  private var thread: LoopThread?

  private final class State: Sendable {
    let signal = Mutex<CInt?>(nil)
  }

  init() throws(MachineError) {
    do { signals = try TerminationSignals() } catch {
      throw MachineError(.systemCall, "cannot watch for signals: \(error)")
    }
  }

  /// The signal that came.
  var signal: CInt? { state.signal.withLock { $0 } }

  /// Calls `stop` when a signal comes, on another thread.
  func watch(_ stop: @escaping @Sendable () -> Void) throws(MachineError) {
    let descriptor = signals.rawValue
    let state = state
    do throws(Errno) {
      let thread = try LoopThread(name: "signals", polling: .never)
      let loop = thread.loop
      loop.post {
        _ = try? loop.watch(descriptor, .readable) { _ in
          guard let signal = TerminationSignals.consume(descriptor) else { return }
          state.signal.withLock { $0 = signal }
          TerminationSignals.restore()
          stop()
        }
      }
      self.thread = thread
    } catch {
      throw MachineError(.systemCall, "cannot watch for signals: \(error)")
    }
  }
}
