import Synchronization

/// Why a device is asked to be quiet.
public enum QuiesceReason: Sendable, Hashable {
  /// A reset follows.
  case reset(ResetKind)
  /// The client takes back this range.
  case memoryUnmap(DMARange)
  /// The guest has cleared the bus-master enable bit.
  case busMasterDisabled
  /// The client has gone.
  case disconnect
  /// The server ends.
  case stop
}

/// The device's answer to `quiesce`.
public enum Quiescence: Sendable {
  /// Nothing is in flight any more.
  case done
  /// The device will call `QuiesceCompletion.done()`.
  case notYet
}

/// How a device that answered `.notYet` says that it is quiet now.
///
/// Calling it twice does nothing; dropping it counts as done.
///
/// Threads: any.
public final class QuiesceCompletion: Sendable {
  private let isDone = Atomic<Bool>(false)
  private let finish: @Sendable () -> Void

  init(finish: @escaping @Sendable () -> Void) { self.finish = finish }

  deinit { done() }

  /// The device answered at once: nobody waits for this completion.
  func disarm() { isDone.store(true, ordering: .relaxed) }

  /// The device is quiet.
  public func done() {
    // Relaxed: the flag only picks one caller; the fence learns of it through the loop's queue.
    guard !isDone.exchange(true, ordering: .relaxed) else { return }
    finish()
  }
}
