/// Lets loops other than the session's wait for the answers that the session's loop gets.
///
/// Threads: any. The session's loop only starts accesses and hands in their outcomes.
final class RemoteAccess: @unchecked Sendable {
  private let lock = ConditionLock()
  /// Guarded by `lock`.
  private var isClosed = false
  /// Guarded by `lock`.
  private var limit = Duration.seconds(5)

  /// What one access waits for; guarded by the lock.
  private final class Slot: @unchecked Sendable {
    var outcome: DMAEngine.MessageOutcome?
  }

  /// How long an access waits for its outcome.
  var timeout: Duration {
    get { lock.withLock { limit } }
    set { lock.withLock { limit = newValue } }
  }

  /// Ends every wait with `cancelled`, those to come as well.
  func close() {
    lock.withLock {
      isClosed = true
      lock.broadcast()
    }
  }

  /// Starts an access on the loop of `engine` and waits for its outcome.
  func perform(
    on engine: LoopConfined<DMAEngine>, _ address: DMAAddress, _ count: Int,
    _ start:
      @escaping @Sendable (DMAEngine, @escaping (DMAEngine.MessageOutcome) -> Void) -> Void
  ) throws(DMAError) -> [UInt8] {
    let slot = Slot()
    engine.value.loop.post { [self] in
      start(engine.value) { outcome in
        self.lock.withLock {
          slot.outcome = outcome
          self.lock.broadcast()
        }
      }
    }
    lock.lock()
    defer { lock.unlock() }
    let deadline = MonotonicTime.now.advanced(by: limit)
    while slot.outcome == nil, !isClosed {
      if !lock.wait(until: deadline), MonotonicTime.now >= deadline { break }
    }
    if let outcome = slot.outcome { return try outcome.get() }
    throw DMAError(isClosed ? .cancelled : .timedOut, address, count)
  }
}
