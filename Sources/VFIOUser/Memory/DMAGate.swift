import Synchronization

/// Whether the bus lets a device access memory: one for all of the device's engines.
///
/// Threads: any. Work in progress on other loops is brought to rest by a fence, not by the gate.
final class DMAGate: Sendable {
  private let state = Atomic<Bool>(true)

  @inline(__always)
  var isOpen: Bool {
    // Relaxed: an access that starts as the gate closes is waited for by the fence that follows.
    get { state.load(ordering: .relaxed) }
    set { state.store(newValue, ordering: .relaxed) }
  }
}
