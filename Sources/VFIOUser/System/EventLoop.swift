import CVFIOUserLinux
import Synchronization

/// One thread's loop: descriptors, timers, posted work, and spinning where that pays.
///
/// A loop owns the device state that its handlers touch; that state needs no lock.
///
/// Threads: `post`, `stop` and `isCurrent` may be called from anywhere. Everything else belongs to
/// the thread that runs the loop; before it runs, to the thread that sets it up.
@safe
public final class EventLoop: @unchecked Sendable {
  /// How the loop waits for work.
  public let polling: PollingMode

  private let epoll: OwnedDescriptor
  private let wakeup: EventDescriptor
  /// Guards `shared`. A pthread lock: thread sanitizer does not see how a contended `Mutex` orders
  /// its holders, and calls that a race.
  private let lock = ConditionLock()
  private var shared = SharedState()
  /// Set with work in the queue, so that a spinning loop need not take the lock to look.
  private let hasPosted = Atomic<Bool>(false)
  private let owner = Atomic<UInt>(0)

  // Confined to the loop's thread.
  private var watches: [Watch?] = []
  private var freeWatches: [Int] = []
  private var pollers: [Poller] = []
  private var nextPoller = 0
  private var timers: TimerQueue
  private var waiting: SpinPolicy
  private var ready: [epoll_event]

  private struct SharedState {
    var posted: [@Sendable () -> Void] = []
    var isStopping = false
  }

  private final class Watch {
    let descriptor: CInt
    let generation: UInt32
    let handler: (EventInterest) -> Void

    init(descriptor: CInt, generation: UInt32, handler: @escaping (EventInterest) -> Void) {
      self.descriptor = descriptor
      self.generation = generation
      self.handler = handler
    }
  }

  private struct Poller {
    let token: PollerToken
    let poll: () -> Bool
  }

  private var nextGeneration: UInt32 = 1
  private static let wakeupTag: UInt64 = .max
  private static let timerTag: UInt64 = .max - 1

  /// Makes a loop that no thread runs yet.
  ///
  /// - Throws: `EMFILE` or `ENFILE` when no descriptor is left.
  public init(polling: PollingMode = .adaptive) throws(Errno) {
    self.polling = polling
    let raw = try Errno.check(epoll_create1(CInt(EPOLL_CLOEXEC)))
    epoll = OwnedDescriptor(adopting: raw)
    wakeup = try EventDescriptor()
    timers = try TimerQueue()
    waiting = SpinPolicy(mode: polling)
    // Safety: a zeroed structure of the kernel's is valid.
    unsafe ready = unsafe Array(repeating: epoll_event(), count: 32)
    try Self.control(raw, EPOLL_CTL_ADD, wakeup.rawValue, EPOLLIN.rawValue, Self.wakeupTag)
    try Self.control(raw, EPOLL_CTL_ADD, timers.descriptor, EPOLLIN.rawValue, Self.timerTag)
  }

  // MARK: From any thread

  /// Runs `work` on the loop's thread, after what was posted before.
  public func post(_ work: @escaping @Sendable () -> Void) {
    lock.withLock { shared.posted.append(work) }
    // Releasing pairs with the acquiring exchange in `runPosted`. The loop cannot miss the wake-up:
    // it sleeps only in epoll, where the counter keeps it awake.
    if !hasPosted.exchange(true, ordering: .acquiringAndReleasing) { wakeup.signal() }
  }

  /// Makes `run` return once the handler in progress is done.
  public func stop() {
    lock.withLock { shared.isStopping = true }
    wakeup.signal()
  }

  /// Whether the calling thread runs this loop, or nobody does.
  public var isCurrent: Bool {
    let thread = owner.load(ordering: .relaxed)
    return thread == 0 || thread == UInt(pthread_self())
  }

  /// Whether the calling thread runs this loop. False while nobody does: what is posted then waits.
  public var isRunningHere: Bool { owner.load(ordering: .relaxed) == UInt(pthread_self()) }

  // MARK: On the loop's thread

  /// Runs the loop on this thread until `stop`.
  public func run() throws(Errno) {
    adoptThread()
    while !lock.withLock({ shared.isStopping }) { try turn(timeout: nil) }
    lock.withLock { shared.isStopping = false }
    owner.store(0, ordering: .relaxed)
  }

  /// Does what is due, waiting for it at most `timeout`; nil waits without end.
  public func runOnce(timeout: Duration?) throws(Errno) {
    adoptThread()
    try turn(timeout: timeout.map { MonotonicTime.now.advanced(by: $0) })
  }

  /// Calls `handler` when `descriptor` becomes ready, until `unwatch`.
  ///
  /// The loop does not own the descriptor: unwatch it before closing it.
  public func watch(
    _ descriptor: CInt, _ interest: EventInterest,
    _ handler: @escaping (EventInterest) -> Void
  ) throws(Errno) -> WatchToken {
    assert(isCurrent)
    let index = freeWatches.popLast() ?? watches.count
    if index == watches.count { watches.append(nil) }
    let watch = Watch(descriptor: descriptor, generation: nextGeneration, handler: handler)
    nextGeneration &+= 1
    let token = WatchToken(index: index, generation: watch.generation)
    do {
      try Self.control(
        epoll.rawValue, EPOLL_CTL_ADD, descriptor, interest.epollEvents, token.tag)
    } catch {
      freeWatches.append(index)
      throw error
    }
    watches[index] = watch
    return token
  }

  /// Changes what a watch waits for; an empty interest still reports a hangup.
  public func modify(_ token: WatchToken, _ interest: EventInterest) {
    guard let watch = watch(for: token) else { return }
    // A watched descriptor is open, so changing its mask cannot fail.
    try? Self.control(
      epoll.rawValue, EPOLL_CTL_MOD, watch.descriptor, interest.epollEvents, token.tag)
  }

  /// Ends a watch. Its handler is not called again, even if readiness was already found.
  public func unwatch(_ token: WatchToken) {
    guard let watch = watch(for: token) else { return }
    try? Self.control(epoll.rawValue, EPOLL_CTL_DEL, watch.descriptor, 0, 0)
    watches[token.index] = nil
    freeWatches.append(token.index)
  }

  /// Runs `work` once, `delay` from now or a little later.
  @discardableResult
  public func schedule(after delay: Duration, _ work: @escaping () -> Void) -> TimerToken {
    assert(isCurrent)
    return timers.add(at: MonotonicTime.now.advanced(by: delay), work)
  }

  /// Takes back a timer that has not run.
  public func cancel(_ token: TimerToken) { timers.remove(token) }

  /// Calls `poll` again and again while the loop spins; it says whether it found work.
  ///
  /// Every source of a poller must also wake the loop by a descriptor, because loops sleep.
  public func addPoller(_ poll: @escaping () -> Bool) -> PollerToken {
    assert(isCurrent)
    nextPoller += 1
    let token = PollerToken(number: nextPoller)
    pollers.append(Poller(token: token, poll: poll))
    return token
  }

  /// Ends a poller.
  public func removePoller(_ token: PollerToken) { pollers.removeAll { $0.token == token } }

  /// Tells the loop that a message was handled: more may follow at once, so spinning may pay.
  func noteActivity() { waiting.noteActivity() }

  // MARK: One turn

  private func adoptThread() {
    let thread = UInt(pthread_self())
    guard owner.load(ordering: .relaxed) != thread else { return }
    owner.store(thread, ordering: .relaxed)
    waiting.adoptThread()
  }

  private func turn(timeout deadline: MonotonicTime?) throws(Errno) {
    if runPosted() { return }
    runTimers()
    if !pollers.isEmpty, waiting.shouldSpin, spin(until: deadline) { return }
    if waiting.isEndless, !pollers.isEmpty { return }
    let asleep = waiting.willSleep()
    try wait(milliseconds: deadline.map(\.remainingMilliseconds) ?? -1)
    waiting.didWake(asleep)
    runTimers()
    _ = runPosted()
  }

  private func runTimers() {
    for work in timers.takeDue() { work() }
  }

  /// Looks for work without sleeping. Returns whether some was found.
  private func spin(until deadline: MonotonicTime?) -> Bool {
    var rounds = 0
    while true {
      var found = hasPosted.load(ordering: .acquiring)
      for poller in pollers where poller.poll() { found = true }
      if found {
        waiting.noteHit()
        return true
      }
      rounds += 1
      // Descriptors without a poller, and timers, are looked after now and then.
      if rounds % 64 == 0, (try? wait(milliseconds: 0)) == true { return true }
      let now = MonotonicTime.now
      if waiting.isOver(at: now) || deadline.map({ now >= $0 }) == true {
        waiting.noteMiss()
        return false
      }
      cvfu_pause()
    }
  }

  @discardableResult
  private func wait(milliseconds: CInt) throws(Errno) -> Bool {
    // Safety: only the count is read.
    let capacity = unsafe CInt(ready.count)
    // Safety: the kernel writes at most `capacity` events into an array of that size.
    let count = unsafe ready.withUnsafeMutableBufferPointer { (events) -> CInt in
      unsafe epoll_wait(epoll.rawValue, events.baseAddress, capacity, milliseconds)
    }
    if count < 0 {
      let error = Errno.current
      guard error == .interrupted else { throw error }
      return false
    }
    for index in 0..<Int(count) {
      // Safety: the union was filled by the kernel with the tag that was registered.
      let tag = unsafe ready[index].data.u64
      let events = unsafe ready[index].events
      switch tag {
      case Self.wakeupTag: _ = wakeup.consume()
      case Self.timerTag: timers.acknowledge()
      default:
        // A handler earlier in this batch may have ended this watch.
        let token = WatchToken(tag: tag)
        watch(for: token)?.handler(EventInterest(epollEvents: events))
      }
    }
    return count > 0
  }

  private func runPosted() -> Bool {
    guard hasPosted.exchange(false, ordering: .acquiringAndReleasing) else { return false }
    let work = lock.withLock {
      let posted = shared.posted
      shared.posted = []
      return posted
    }
    for item in work { item() }
    return !work.isEmpty
  }

  private func watch(for token: WatchToken) -> Watch? {
    guard watches.indices.contains(token.index), let watch = watches[token.index],
      watch.generation == token.generation
    else { return nil }
    return watch
  }

  private static func control(
    _ epoll: CInt, _ operation: CInt, _ descriptor: CInt, _ events: UInt32, _ tag: UInt64
  ) throws(Errno) {
    // Safety: a zeroed structure of the kernel's is valid.
    var event = unsafe epoll_event()
    unsafe event.events = events
    // Safety: writes the union's widest member, which is the one read back.
    unsafe event.data.u64 = tag
    // Safety: the kernel reads one event from a local variable.
    _ = try Errno.check(unsafe epoll_ctl(epoll, operation, descriptor, &event))
  }
}
