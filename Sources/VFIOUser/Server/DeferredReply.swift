import Synchronization

/// The reply to a region access that the device answers later.
///
/// Completing it twice, or after the access was voided (reset, disconnect, stop), does nothing.
/// Dropping it without completing answers `EIO`.
///
/// Threads: complete it from any thread.
public final class DeferredReply: Sendable {
  private let isCompleted = Atomic<Bool>(false)
  private let finish: @Sendable (DeferredOutcome) -> Void

  init(finish: @escaping @Sendable (DeferredOutcome) -> Void) { self.finish = finish }

  deinit { settle(.failed(.ioError)) }

  /// Answers a deferred read.
  ///
  /// - Parameter bytes: the data; shorter than the access it is padded with zeros, longer it is cut.
  public func complete(with bytes: [UInt8]) { settle(.done(bytes)) }

  /// Answers a deferred write. A read completed this way returns zeros.
  public func complete() { settle(.done([])) }

  /// Answers with an error.
  public func fail(_ error: Errno) { settle(.failed(error)) }

  private func settle(_ outcome: DeferredOutcome) {
    // Relaxed suffices: the flag only picks the one caller that may finish; the outcome itself
    // travels through the loop's queue.
    guard !isCompleted.exchange(true, ordering: .relaxed) else { return }
    finish(outcome)
  }
}

/// How a deferred access ended.
enum DeferredOutcome: Sendable {
  case done([UInt8])
  case failed(Errno)
}
