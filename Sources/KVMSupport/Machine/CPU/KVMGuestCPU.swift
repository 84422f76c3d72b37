import Synchronization

/// A CPU that KVM runs.
final class KVMGuestCPU: GuestCPU {
  private let cpu: VirtualCPU
  private let isStopped = Atomic<Bool>(false)

  init(_ cpu: VirtualCPU) { self.cpu = cpu }

  func stop() {
    // Pairs with the load after each exit.
    isStopped.store(true, ordering: .releasing)
    cpu.kick()
  }

  /// Has it look whether it has halted for good.
  func kick() { cpu.kick() }

  func run(_ space: AddressSpace) -> GuestCPUEnding {
    var progress = AccessProgress()
    while !isStopped.load(ordering: .acquiring) {
      let exit: VirtualCPUExit
      do { exit = try cpu.run() } catch { return .failed("\(error)") }
      guard let access = exit.access else {
        if let ending = ending(exit) { return ending }
        continue
      }
      if let status = access.exitStatus { return .exited(status) }
      guard let value = perform(access, in: space, &progress) else { break }
      if access.value == nil { cpu.complete(value) }
    }
    return .stopped
  }

  /// Why the CPU does not go on after an exit that is no access; nil when it does.
  private func ending(_ exit: VirtualCPUExit) -> GuestCPUEnding? {
    switch exit {
    case .shutdown: .shutdown
    case .failed(let failure): .failed("\(failure)")
    case .halted: .halted
    default: cpu.isHaltedForGood ? .halted : nil
    }
  }

  /// Carries an access out; nil when the CPU is stopped before it is done.
  private func perform(
    _ access: GuestAccess, in space: AddressSpace, _ progress: inout AccessProgress
  ) -> UInt64? {
    while true {
      if case .done(let value) = space.access(access, &progress) { return value }
      if isStopped.load(ordering: .acquiring) { return nil }
    }
  }
}
