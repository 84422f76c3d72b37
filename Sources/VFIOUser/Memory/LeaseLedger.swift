import Synchronization

/// Counts the I/O in flight over some memory, and tells when there is none.
///
/// Threads: any.
final class LeaseLedger: @unchecked Sendable {
  private let count = Atomic<Int>(0)
  private let hasWaiter = Atomic<Bool>(false)
  private let lock = ConditionLock()
  /// Guarded by `lock`.
  private var waiter: (@Sendable () -> Void)?

  /// One more transfer is in flight.
  func retain() { count.wrappingAdd(1, ordering: .relaxed) }

  /// A transfer has ended.
  func release() {
    // What the transfer did happens before what follows. Sequentially consistent, as in `whenIdle`:
    // of a last transfer that ends and a waiter that comes, one sees the other.
    let left = count.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue
    if left == 0, hasWaiter.load(ordering: .sequentiallyConsistent) { takeWaiter()?() }
  }

  /// Whether nothing is in flight.
  var isIdle: Bool { count.load(ordering: .acquiring) == 0 }

  /// Calls `body` once nothing is in flight: at once, or from the thread that ends the last transfer.
  func whenIdle(_ body: @escaping @Sendable () -> Void) {
    lock.withLock {
      waiter = body
      hasWaiter.store(true, ordering: .sequentiallyConsistent)
    }
    if count.load(ordering: .sequentiallyConsistent) == 0 { takeWaiter()?() }
  }

  private func takeWaiter() -> (@Sendable () -> Void)? {
    lock.withLock {
      let found = waiter
      waiter = nil
      hasWaiter.store(false, ordering: .sequentiallyConsistent)
      return found
    }
  }
}
