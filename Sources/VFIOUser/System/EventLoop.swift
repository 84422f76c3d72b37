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
  /// Guards `posted`. A pthread lock: thread sanitizer does not see how a contended `Mutex` orders
  /// its holders, and calls that a race.
  private let lock = ConditionLock()
  private var posted: [@Sendable () -> Void] = []
  /// Guarded by the lock: nobody runs the loop any more, so what is posted is let go of at once.
  private var isOver = false
  /// Set with work in the queue and by `stop`, so that a spinning loop need not take the lock to
  /// look.
  private let isWanted = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)
  /// Whether the loop is in epoll, or about to be: only then it has to be woken.
  private let isAsleep = Atomic<Bool>(false)
  private let owner = Atomic<UInt>(0)

  // Confined to the loop's thread.
  private var watches: [Watch?] = []
  private var freeWatches: [Int] = []
  private let pollers = PollerTable()
  private let sleepers = SleeperTable()
  private var timers: TimerQueue
  private var waiting: SpinPolicy
  private var ready: [epoll_event]

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
    wakeup = try EventDescriptor(isShared: false)
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
    lock.withLock { if !isOver { posted.append(work) } }
    wake()
  }

  /// Lets go of everything that it would call, and of what will be posted: nobody runs the loop any more.
  ///
  /// Work and handlers may keep their loop, and that them: neither would ever go. On the thread that ran
  /// the loop last.
  func discardAll() {
    let work = lock.withLock {
      isOver = true
      let found = posted
      posted = []
      return found
    }
    // Released here, out of the lock and when nothing refers to it: that may post, unwatch and cancel.
    _ = consume work
    let handlers = watches
    watches = []
    freeWatches = []
    _ = consume handlers
    let timed = timers.removeAll()
    _ = consume timed
    pollers.removeAll()
  }

  /// Makes `run` return once the handler in progress is done.
  public func stop() {
    isStopping.store(true, ordering: .releasing)
    wake()
  }

  private func wake() {
    // Sequentially consistent, as in `sleep`: of a loop that falls asleep and work that arrives,
    // one sees the other. The exchange also pairs with the one in `runPosted`.
    guard !isWanted.exchange(true, ordering: .sequentiallyConsistent) else { return }
    if isAsleep.load(ordering: .sequentiallyConsistent) { wakeup.signal() }
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
  ///
  /// - Throws: what epoll_wait(2) says, which means that the loop is of no use any more; a signal
  ///   is no error.
  public func run() throws(Errno) {
    adoptThread()
    // Acquiring pairs with `stop`: what its caller did before is seen by whoever runs next.
    while !isStopping.load(ordering: .acquiring) { try turn(timeout: nil, spinsOn: true) }
    isStopping.store(false, ordering: .relaxed)
    owner.store(0, ordering: .relaxed)
  }

  /// Does what is due, waiting for it at most `timeout`; nil waits without end. Throws as
  /// ``run()``.
  public func runOnce(timeout: Duration?) throws(Errno) {
    adoptThread()
    try turn(timeout: timeout.map { MonotonicTime.now.advanced(by: $0) }, spinsOn: false)
  }

  /// Calls `handler` when `descriptor` becomes ready, until `unwatch`.
  ///
  /// The loop does not own the descriptor: unwatch it before closing it.
  /// - Throws: `EEXIST` for a descriptor that is watched already, `EPERM` for one that cannot be
  ///   waited for (a regular file), `EBADF` for one that is not open, `ENOMEM` and `ENOSPC` as
  ///   epoll_ctl(2).
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
  /// Every source of a poller must also wake the loop by a descriptor, because loops sleep; with
  /// ``PollingMode/always`` a loop that has pollers does not. Finding work keeps an adaptive loop
  /// spinning. Descriptors, timers and posted work get their turn however much pollers find.
  public func addPoller(_ poll: @escaping () -> Bool) -> PollerToken {
    assert(isCurrent)
    return pollers.add(poll)
  }

  /// Ends a poller; it may be the one that is running.
  public func removePoller(_ token: PollerToken) { pollers.remove(token) }

  /// Tells `sleeper` from now on when the loop falls asleep and when it wakes.
  func addSleeper(_ sleeper: any LoopSleeper) {
    assert(isCurrent)
    sleepers.add(sleeper)
  }

  /// Ends that; from any of the sleeper's own methods, too.
  func removeSleeper(_ sleeper: any LoopSleeper) { sleepers.remove(sleeper) }

  /// Tells the loop that a message was handled: more may follow at once, so spinning may pay.
  package func noteActivity() { waiting.noteActivity() }

  // MARK: One turn

  private func adoptThread() {
    let thread = UInt(pthread_self())
    guard owner.load(ordering: .relaxed) != thread else { return }
    owner.store(thread, ordering: .relaxed)
    waiting.adoptThread()
  }

  /// How many turns of posted work pass between two looks at descriptors and timers.
  private static let postedTurnsBetweenLooks = 4
  private var postedTurns = 0

  /// One round of everything.
  ///
  /// - Parameter spinsOn: whether finding work is no reason to return.
  private func turn(timeout deadline: MonotonicTime?, spinsOn: Bool) throws(Errno) {
    if runPosted() {
      // Work that posts itself again must not keep descriptors, timers and pollers waiting. Pollers
      // find what sleepers have, too: nobody announces that to a loop that does not sleep.
      postedTurns &+= 1
      guard postedTurns % Self.postedTurnsBetweenLooks == 0 else { return }
      runTimers()
      if !pollers.isEmpty, pollers.round() { noteFound() }
      try wait(milliseconds: 0)
      return
    }
    // A stop that arrived since the last look has left nothing in the queue, and its wake-up was
    // taken.
    if spinsOn, isStopping.load(ordering: .acquiring) { return }
    runTimers()
    if !pollers.isEmpty {
      if waiting.shouldSpin, spin(until: deadline, spinsOn: spinsOn) { return }
      if waiting.isEndless { return }
    }
    try sleep(until: deadline)
    runTimers()
    _ = runPosted()
  }

  private func sleep(until deadline: MonotonicTime?) throws(Errno) {
    let asleepSince = waiting.willSleep()
    // See `wake`.
    isAsleep.store(true, ordering: .sequentiallyConsistent)
    if isWanted.load(ordering: .sequentiallyConsistent) {
      isAsleep.store(false, ordering: .relaxed)
      return
    }
    // Work that came before it would have been announced is done by now: no sleep, but a look at
    // everything else.
    let hasWorked = !sleepers.isEmpty && sleepers.fallAsleep()
    try wait(milliseconds: hasWorked ? 0 : deadline.map(\.remainingMilliseconds) ?? -1)
    waiting.didWake(asleepSince)
  }

  private func runTimers() {
    for work in timers.takeDue() { work() }
  }

  /// How many rounds of pollers pass between two looks at descriptors and timers.
  private static let roundsBetweenLooks = 64
  /// How many rounds of pollers pass between two looks at the clock, where spinning has an end.
  private static let roundsBetweenTimes = 16

  /// Looks for work without sleeping. Returns whether some was found, or is waiting.
  private func spin(until deadline: MonotonicTime?, spinsOn: Bool) -> Bool {
    let hasEnd = !waiting.isEndless || deadline != nil
    var rounds = 0
    var hasFound = false
    while true {
      // Acquiring pairs with `wake`, which is called after the work is in the queue.
      if isWanted.load(ordering: .acquiring) {
        if hasFound { noteFound() }
        return true
      }
      if pollers.round() {
        hasFound = true
        if !spinsOn {
          noteFound()
          return true
        }
      } else {
        cvfu_pause()
      }
      rounds &+= 1
      if rounds % Self.roundsBetweenLooks == 0 {
        // Readiness that epoll reports again the next time, and the timers' descriptor.
        if (try? wait(milliseconds: 0)) == true {
          if hasFound { noteFound() }
          return true
        }
        if pollers.isEmpty { return true }
      }
      guard hasEnd, rounds % Self.roundsBetweenTimes == 0 else { continue }
      if hasFound { noteFound() }
      hasFound = false
      let now = MonotonicTime.now
      if waiting.isOver(at: now) || deadline.map({ now >= $0 }) == true {
        waiting.noteMiss()
        return false
      }
    }
  }

  private func noteFound() {
    waiting.noteHit()
    waiting.noteActivity()
  }

  @discardableResult
  private func wait(milliseconds: CInt) throws(Errno) -> Bool {
    // Safety: only the count is read.
    let capacity = unsafe CInt(ready.count)
    // Safety: the kernel writes at most `capacity` events into an array of that size.
    let count = unsafe ready.withUnsafeMutableBufferPointer { (events) -> CInt in
      unsafe epoll_wait(epoll.rawValue, events.baseAddress, capacity, milliseconds)
    }
    // Before the handlers run: what they post needs no wake-up. Relaxed: a wake-up too many is
    // harmless.
    let error = Errno.current
    isAsleep.store(false, ordering: .relaxed)
    if sleepers.areAsleep { sleepers.wake() }
    if count < 0 {
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
    guard isWanted.load(ordering: .relaxed) else { return false }
    // Taken back before the queue is emptied: what is posted meanwhile sets it again.
    _ = isWanted.exchange(false, ordering: .sequentiallyConsistent)
    let work = lock.withLock {
      let found = posted
      posted = []
      return found
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
