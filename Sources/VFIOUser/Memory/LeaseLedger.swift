import Synchronization

/// Counts the I/O in flight over some memory, and tells when there is none.
///
/// Threads: any.
final class LeaseLedger: @unchecked Sendable {
  private let count = Atomic<Int>(0)
  private let lock = ConditionLock()
  /// Guarded by `lock`.
  private var waiter: (@Sendable () -> Void)?

  /// One more transfer is in flight.
  func retain() { count.wrappingAdd(1, ordering: .relaxed) }

  /// A transfer has ended.
  func release() {
    // Pairs with the acquiring load in `whenIdle`: what the transfer did happens before what follows.
    let left = count.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    if left == 0 { takeWaiter()?() }
  }

  /// Whether nothing is in flight.
  var isIdle: Bool { count.load(ordering: .acquiring) == 0 }

  /// Calls `body` once nothing is in flight: at once, or from the thread that ends the last transfer.
  func whenIdle(_ body: @escaping @Sendable () -> Void) {
    lock.withLock { waiter = body }
    if count.load(ordering: .acquiring) == 0 { takeWaiter()?() }
  }

  private func takeWaiter() -> (@Sendable () -> Void)? {
    lock.withLock {
      let found = waiter
      waiter = nil
      return found
    }
  }
}
