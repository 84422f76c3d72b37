import CVFIOUserLinux
import Synchronization

/// Who may use a port: one access at a time, first come first served, also after signals.
///
/// A thread takes its turn, sends, receives, and leaves. When a signal ends the receiving, it leaves
/// with `interrupt`: the access stays in flight, and whoever is next, that thread or another, first
/// receives its response (`inFlight`) and hands it in with `settle`. So a vCPU that does not come back
/// holds nobody up, and no response goes to the wrong access.
///
/// A thread that a signal interrupts before its own command is sent keeps its place, whether it waited
/// for its turn or had it (`stepBack`): it is passed over while it is away, and comes before all that
/// came later when it is back. An access in flight needs no place: whoever is next receives its response.
///
/// Threads: any. The lock is held for a few instructions and never while waiting or calling out.
final class IORegionTurns: @unchecked Sendable {
  /// What waiting for a turn led to.
  enum Turn {
    /// It is this access's turn: use the port, and call `leave`, `interrupt` or
    /// `stepBack`.
    case granted
    /// The access was sent earlier, and here is how it went; nothing is to be left.
    case settled(IORegionOutcome)
    /// A signal came first.
    case interrupted
  }

  private struct State {
    /// The next ticket to give out, and the first that was not served.
    var next: UInt64 = 0
    var serving: UInt64 = 0
    /// Whether the thread whose ticket is `serving` uses the port.
    var isTaken = false
    /// Tickets not served yet whose threads are away with a signal.
    var away: Set<UInt64> = []
    /// Tickets that were passed over while their threads were away, and that wait again.
    var late: Set<UInt64> = []
    /// The one of those that has the turn, in place of `serving`.
    var lateTurn: UInt64?
    var inFlight: IORegionAnswer?
    var sleeperCount = 0
  }

  private let lock = ConditionLock()
  /// Guarded by `lock`.
  private var state = State()
  /// A port that nobody else wants is taken and left with one exchange each, and without the lock.
  ///
  /// Taking acquires what the leaving before it released. While it says `queued`, `state` tells.
  private let word = Atomic<UInt32>(Word.free)

  private enum Word {
    static let free: UInt32 = 0
    static let taken: UInt32 = 1
    static let queued: UInt32 = 2
  }

  /// Counts changes; waiting threads sleep on it.
  private let changes = Atomic<UInt32>(0)

  /// The access that was sent and interrupted, if there is one; only for who has the turn.
  var inFlight: IORegionAnswer? { lock.withLock { state.inFlight } }

  /// How many threads sleep until it is their turn.
  var waiterCount: Int { lock.withLock { state.sleeperCount } }

  /// Waits for the turn of an access, or for its answer when it was sent before.
  ///
  /// Each turn is bounded by its own access, so this wait needs no bound.
  func take(_ progress: inout IORegionProgress) -> Turn {
    if !progress.isQueued,
      word.compareExchange(
        expected: Word.free, desired: Word.taken, successOrdering: .acquiring,
        failureOrdering: .relaxed
      ).exchanged
    {
      return .granted
    }
    return takeQueued(&progress)
  }

  private func takeQueued(_ progress: inout IORegionProgress) -> Turn {
    lock.lock()
    beginQueue()
    enqueue(&progress)
    while true {
      if let outcome = progress.answer?.outcome {
        forget(&progress)
        lock.unlock()
        return .settled(outcome)
      }
      if !state.isTaken, let ticket = progress.ticket, ticket == firstTicket {
        state.isTaken = true
        if state.late.remove(ticket) != nil { state.lateTurn = ticket }
        progress.ticket = nil
        lock.unlock()
        return .granted
      }
      let seen = changes.load(ordering: .relaxed)
      state.sleeperCount += 1
      lock.unlock()
      let isInterrupted = sleep(while: seen)
      lock.lock()
      state.sleeperCount -= 1
      if isInterrupted, progress.answer?.outcome == nil {
        if let ticket = progress.ticket { stepAside(ticket) }
        lock.unlock()
        return .interrupted
      }
    }
  }

  /// Gives the turn to the next one.
  func leave() {
    if word.compareExchange(
      expected: Word.taken, desired: Word.free, successOrdering: .releasing,
      failureOrdering: .relaxed
    ).exchanged {
      return
    }
    lock.lock()
    advance()
    lock.unlock()
  }

  /// Gives the turn to the next one while the access is in flight: a signal ended the wait for its
  /// response.
  func interrupt(_ progress: inout IORegionProgress, deadline: MonotonicTime) {
    let answer = progress.answer ?? IORegionAnswer(deadline: deadline)
    progress.answer = answer
    lock.lock()
    beginQueue()
    state.inFlight = answer
    advance()
    lock.unlock()
  }

  /// Gives the turn to the next one and keeps the place of the access: a signal ended its turn before
  /// its own command was sent, or while the response to it was awaited once more.
  func stepBack(_ progress: inout IORegionProgress) {
    lock.lock()
    beginQueue()
    progress.ticket = state.lateTurn ?? state.serving
    advance()
    lock.unlock()
  }

  /// Hands in how the access in flight went; only for who has the turn.
  func settle(_ answer: IORegionAnswer, _ outcome: IORegionOutcome) {
    lock.lock()
    answer.outcome = outcome
    state.inFlight = nil
    announce()
    lock.unlock()
  }

  // MARK: With the lock held

  /// From now on the state tells who has the turn.
  private func beginQueue() {
    // Both orderings: it may follow a leaving, and a taking may follow it by way of the lock.
    guard word.exchange(Word.queued, ordering: .acquiringAndReleasing) == Word.taken else { return }
    // Who took it without a ticket counts as the one that is served.
    state.next += 1
    state.isTaken = true
  }

  private func enqueue(_ progress: inout IORegionProgress) {
    if let ticket = progress.ticket {
      // It may have been passed over while it was away.
      if state.away.remove(ticket) == nil { state.late.insert(ticket) }
      return
    }
    progress.ticket = state.next
    state.next += 1
  }

  /// Takes an access out of the queue for good.
  private func forget(_ progress: inout IORegionProgress) {
    if let ticket = progress.ticket { stepAside(ticket) }
    progress = IORegionProgress()
  }

  private func stepAside(_ ticket: UInt64) {
    let before = firstTicket
    if state.late.remove(ticket) == nil { state.away.insert(ticket) }
    skipAbsent()
    if firstTicket != before { announce() }
  }

  /// Whose turn it is where nobody has it.
  private var firstTicket: UInt64 { state.late.min() ?? state.serving }

  private func skipAbsent() {
    guard !state.isTaken else { return }
    while state.away.remove(state.serving) != nil { state.serving += 1 }
  }

  private func advance() {
    state.isTaken = false
    if state.lateTurn == nil { state.serving += 1 }
    state.lateTurn = nil
    skipAbsent()
    announce()
    if state.serving == state.next, state.away.isEmpty, state.late.isEmpty,
      state.inFlight == nil, state.sleeperCount == 0
    {
      word.store(Word.free, ordering: .releasing)
    }
  }

  private func announce() {
    // The lock orders everything else; the word only tells sleepers that something has changed.
    changes.wrappingAdd(1, ordering: .releasing)
    guard state.sleeperCount > 0 else { return }
    // Safety: the word lives as long as self.
    _ = unsafe changes.withAddress { unsafe cvfu_futex_wake($0) }
  }

  /// Sleeps until something has changed since `seen`; true when a signal came first.
  private func sleep(while seen: UInt32) -> Bool {
    // Safety: the word lives as long as self.
    unsafe changes.withAddress { unsafe cvfu_futex_wait($0, seen, .max) } == -EINTR
  }
}

extension Atomic where Value == UInt32 {
  /// Lends the address of the word, for the kernel.
  @inline(__always)
  fileprivate borrowing func withAddress<Result>(
    _ body: (UnsafeRawPointer) -> Result
  ) -> Result {
    // Safety: an Atomic's value lies at its own address, which is stable while it is borrowed.
    unsafe withUnsafePointer(to: self) { unsafe body(UnsafeRawPointer($0)) }
  }
}
