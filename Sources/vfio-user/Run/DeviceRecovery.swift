import KVMSupport
import Synchronization
import VFIOUser

/// Connects devices again whose servers have ended, for so long as the command line says.
///
/// Each device has a thread of its own, so that none waits for another.
///
/// Threads: any.
final class DeviceRecovery: Sendable {
  private struct State: @unchecked Sendable {
    // Threads are only posted to and stopped.
    var machine: Machine?
    var threads: [PCIAddress: LoopThread] = [:]
    var isStopped = false
  }

  private static let pause = Duration.milliseconds(20)
  private let seconds: Int
  private let state = Mutex(State())

  init(seconds: Int) { self.seconds = seconds }

  /// Whose devices it looks after.
  var machine: Machine? {
    get { state.withLock { $0.machine } }
    set { state.withLock { $0.machine = newValue } }
  }

  /// Begins when a device is lost.
  func handle(_ event: MachineEvent) {
    guard seconds > 0, case .deviceLost(let address, _, _) = event, let machine,
      let device = machine.devices.first(where: { $0.address == address })
    else { return }
    let deadline = ContinuousClock.now + .seconds(seconds)
    do throws(Errno) {
      let loop = try loop(address)
      loop?.post { [self] in attempt(device, machine, loop, deadline) }
    } catch {
      MachineSession.report("run: cannot start a thread: \(error)")
    }
  }

  /// Tries no more. It waits for nobody: an attempt in progress is of no consequence.
  func stop() {
    let loops = state.withLock { state in
      state.isStopped = true
      state.machine = nil
      return state.threads.values.map(\.loop)
    }
    for loop in loops { loop.stop() }
  }

  /// The loop of a device's thread; nil after the end.
  private func loop(_ address: PCIAddress) throws(Errno) -> EventLoop? {
    try state.withLock { state throws(Errno) in
      guard !state.isStopped else { return nil }
      if let thread = state.threads[address] { return thread.loop }
      let thread = try LoopThread(name: "recovery", polling: .never)
      state.threads[address] = thread
      return thread.loop
    }
  }

  private func attempt(
    _ device: AttachedDevice, _ machine: Machine, _ loop: EventLoop?,
    _ deadline: ContinuousClock.Instant
  ) {
    guard !state.withLock(\.isStopped) else { return }
    do {
      try machine.reconnect(device)
    } catch {
      guard !state.withLock(\.isStopped) else { return }
      guard error.code == .connection else { return MachineSession.report("run: \(error)") }
      guard ContinuousClock.now < deadline else {
        return MachineSession.report(
          "run: \(device.address) did not come back within \(seconds) seconds")
      }
      _ = loop?.schedule(after: Self.pause) { [self] in attempt(device, machine, loop, deadline) }
    }
  }
}
