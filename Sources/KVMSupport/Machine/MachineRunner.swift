import VFIOUser

/// Runs the CPUs of a machine, each on a thread of its own, until the guest has ended.
///
/// Threads: ``run(kick:abandon:)`` once; ``stop()`` any.
final class MachineRunner: Sendable {
  private struct State {
    var endings: [Int: GuestCPUEnding] = [:]
    var outcome: MachineEnding?
  }

  private let cpus: [any GuestCPU]
  private let space: AddressSpace
  private let endsWithFirst: Bool
  private let state = Guarded(State())
  private let changed: EventDescriptor

  /// - Parameter endsWithFirst: whether the first CPU that exits ends the guest, or the last one; one that
  ///   exits with another status than zero always does.
  init(_ cpus: [any GuestCPU], _ space: AddressSpace, endsWithFirst: Bool) throws(Errno) {
    self.cpus = cpus
    self.space = space
    self.endsWithFirst = endsWithFirst
    changed = try EventDescriptor(isShared: false)
  }

  /// Runs the CPUs to their end.
  ///
  /// - Parameters:
  ///   - kick: has CPUs look whether they have halted for good; nil where they find out by themselves.
  ///   - abandon: called when CPUs do not end although they were stopped.
  /// - Throws: `EAGAIN` when no thread is left.
  func run(
    kick: (() -> Void)?, abandon: () -> Void
  ) throws(Errno) -> MachineEnding {
    var threads: [WorkThread] = []
    do throws(Errno) {
      for (index, cpu) in cpus.enumerated() {
        threads.append(
          try WorkThread(name: "cpu \(index)") { [self] in ended(index, cpu.run(space)) })
      }
    } catch {
      for cpu in cpus { cpu.stop() }
      throw error
    }
    var pause = Duration.milliseconds(10)
    while state.withLock({ $0.outcome == nil }) {
      // A guest that halts sleeps in the kernel: now and then, more and more rarely, look why.
      if changed.wait(timeout: kick == nil ? .seconds(3600) : pause) == nil {
        kick?()
        pause = min(pause * 2, .seconds(1))
      }
    }
    for cpu in cpus { cpu.stop() }
    let limit = ContinuousClock.now + .seconds(1)
    while state.withLock({ $0.endings.count < cpus.count }), ContinuousClock.now < limit {
      _ = changed.wait(timeout: .milliseconds(50))
    }
    if state.withLock({ $0.endings.count < cpus.count }) { abandon() }
    for thread in threads { thread.join() }
    return state.withLock { $0.outcome } ?? .stopped
  }

  /// Ends the run.
  func stop() {
    state.withLock { $0.outcome = $0.outcome ?? .stopped }
    changed.signal()
  }

  private func ended(_ index: Int, _ ending: GuestCPUEnding) {
    state.withLock { state in
      state.endings[index] = ending
      guard state.outcome == nil else { return }
      let isLast = state.endings.count == cpus.count
      switch ending {
      case .exited(let status):
        if endsWithFirst || status != 0 || isLast { state.outcome = .exited(status) }
      case .halted:
        if isLast {
          state.outcome = state.endings.values.contains(.exited(0)) ? .exited(0) : .halted
        }
      case .stopped: state.outcome = .stopped
      case .shutdown: state.outcome = .shutdown(cpu: index)
      case .failed(let reason): state.outcome = .failed(cpu: index, reason)
      }
    }
    changed.signal()
  }
}
