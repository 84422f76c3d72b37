import Synchronization
import VFIOUser

/// The regions that a server has said to be reached in another way, until they have been asked about.
///
/// Whoever has got an answer from a device finds what it said before in force: an eventfd that was taken
/// back must not swallow the value of a write that follows. So a vCPU looks here after each message; where
/// none passes, the connection's thread does the work.
///
/// Threads: any.
final class RegionChanges: PendingReplans {
  private struct State: Sendable {
    weak var device: AttachedDevice?
    /// What is asked about anyway: a server may say it as often as it likes.
    var waiting: Set<Int> = []
  }

  private let state = Guarded(State())
  /// Held while somebody asks. Lock order: this one, then the device's.
  private let turn = ConditionLock()
  private let isWaiting = Atomic<Bool>(false)

  /// Whether a region has to be asked about, or is at present.
  var isPending: Bool {
    // Set by the thread that received the news, before another one could receive what came after it.
    isWaiting.load(ordering: .relaxed)
  }

  /// Says whose regions they are; what has changed meanwhile is looked after.
  func serve(_ device: AttachedDevice) {
    let isWaiting = state.withLock { state in
      state.device = device
      return !state.waiting.isEmpty
    }
    if isWaiting { settleLater(device) }
  }

  /// Notes what the server said.
  func note(_ region: Int) {
    let device = state.withLock { state -> AttachedDevice? in
      guard (0..<PCIHeader.barCount).contains(region), state.waiting.insert(region).inserted
      else { return nil }
      isWaiting.store(true, ordering: .relaxed)
      return state.device
    }
    if let device { settleLater(device) }
  }

  private func settleLater(_ device: AttachedDevice) {
    device.client.onLoop { [self] _ in settle() }
  }

  /// Returns once everything that was noted before has been asked about.
  ///
  /// Must not be called with the device's lock held.
  func settle() {
    turn.withLock {
      let (device, regions) = state.withLock { state -> (AttachedDevice?, Set<Int>) in
        // Before there is a device, it waits.
        guard let device = state.device else { return (nil, []) }
        defer { state.waiting = [] }
        return (device, state.waiting)
      }
      for region in regions.sorted() { device?.replan(region: region) }
      state.withLock { if $0.waiting.isEmpty { isWaiting.store(false, ordering: .relaxed) } }
    }
  }
}
