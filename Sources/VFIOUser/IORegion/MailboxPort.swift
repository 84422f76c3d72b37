import CVFIOUserLinux
import Synchronization

/// The monitor's end of a mailbox: an access costs no system call while both sides look at the memory.
///
/// A command is put down in shared memory, and the response looked for, for at most 50 microseconds; then
/// the thread sleeps until the device announces the response, the session's server is gone, a signal comes,
/// or the time is over. A posted write returns at once and waits only for the command before it to be
/// taken.
///
/// A signal is noticed while the thread sleeps. With ``PollingMode/always`` it never does: an access ends by
/// its response or by its time then.
///
/// It trusts nothing in the memory. A device that answers out of turn or not at all, or whose server is
/// gone, has the port closed.
///
/// Threads: any.
public final class MailboxPort: IORegionPort {
  /// A socket whose hangup tells that the server is gone, and what keeps it open.
  struct Liveness: Sendable {
    let descriptor: CInt
    let owner: any AnyObject & Sendable
  }

  private let memory: MailboxMemory
  private let commandEvent: EventDescriptor
  private let responseEvent: EventDescriptor
  private let liveness: Liveness?
  /// In nanoseconds.
  private let timeout: UInt64
  private let turns = IORegionTurns()
  private let isOver = Atomic<Bool>(false)

  // Safety: what follows belongs to the thread that has the turn.
  /// The sequence of the last command.
  private nonisolated(unsafe) var sequence: UInt64 = 0
  /// Whether that was a posted write which may not have been taken yet.
  private nonisolated(unsafe) var isPosted = false
  /// Whether that one's response was not received because of a signal.
  private nonisolated(unsafe) var isInFlight = false
  private nonisolated(unsafe) var spin: MailboxSpin

  /// Takes over a mailbox that a server sent.
  ///
  /// - Parameters:
  ///   - memory: the page that both sides share.
  ///   - commandEvent: the eventfd that announces commands.
  ///   - responseEvent: the eventfd that announces responses.
  ///   - client: the session that the mailbox came over, which is kept; its hangup ends the port. Nil
  ///     where nothing but the time bounds a wait.
  ///   - timeout: the longest wait for the device; nil for the client's, or 5 seconds.
  ///   - polling: how a thread waits for a response.
  /// - Throws: `EINVAL` for memory that is too short or not sealed against shrinking, and for an event that
  ///   is no eventfd; what mmap(2) says.
  public convenience init(
    memory: consuming OwnedDescriptor, commandEvent: consuming OwnedDescriptor,
    responseEvent: consuming OwnedDescriptor, client: DeviceClient?, timeout: Duration? = nil,
    polling: PollingMode = .adaptive
  ) throws(Errno) {
    try self.init(
      memory: memory, commandEvent: commandEvent, responseEvent: responseEvent,
      liveness: client.map { Liveness(descriptor: $0.channel.socket.rawValue, owner: $0) },
      timeout: timeout ?? client?.options.timeout ?? .seconds(5), polling: polling)
  }

  init(
    memory: consuming OwnedDescriptor, commandEvent: consuming OwnedDescriptor,
    responseEvent: consuming OwnedDescriptor, liveness: Liveness?, timeout: Duration,
    polling: PollingMode
  ) throws(Errno) {
    self.memory = try MailboxMemory(adopting: memory)
    self.commandEvent = try EventDescriptor(adopting: commandEvent)
    self.responseEvent = try EventDescriptor(adopting: responseEvent)
    self.liveness = liveness
    self.timeout = timeout.clampedNanoseconds
    // Safety: nobody else has the object yet.
    unsafe spin = MailboxSpin(mode: polling)
  }

  deinit { close() }

  /// Whether neither side has given the mailbox up, as far as the memory says.
  public var isOpen: Bool {
    // Relaxed: a hint; an access finds out for itself.
    if isOver.load(ordering: .relaxed) { return false }
    return memory.responseSequence != MailboxMemory.closed
  }

  /// Gives the mailbox up: who waits for a response fails, and the device closes its end.
  public func close() {
    // In one order with the look at the flag in `send`, and with the stores of the sequence there and here.
    guard !isOver.exchange(true, ordering: .sequentiallyConsistent) else { return }
    memory.closeCommands()
    commandEvent.signal()
    // Whoever waits for a response here wakes and looks.
    responseEvent.signal()
  }

  // MARK: One access

  /// Carries an access out; see ``IORegionPort/perform(_:_:)``. With ``PollingMode/always`` a signal
  /// interrupts only the wait for other threads' accesses: the device is waited for until it
  /// responds or the time is over.
  public func perform(
    _ command: IORegionCommand, _ progress: inout IORegionProgress
  ) -> IORegionOutcome {
    switch turns.take(&progress) {
    case .granted: break
    case .settled(let outcome): return outcome.cut(to: command)
    case .interrupted: return .interrupted
    }
    // Safety: it is this thread's turn, here and in all that is called from here.
    if unsafe isInFlight, let earlier = turns.inFlight {
      switch receive(earlier, &progress) {
      case .own(let outcome): return outcome.cut(to: command)
      case .other: break
      }
    }
    return send(command, &progress)
  }

  /// What became of an access that a signal had left in flight.
  private enum Reception {
    /// It ends this call.
    case own(IORegionOutcome)
    /// It was another one's, and is out of the way.
    case other
  }

  private func receive(
    _ earlier: IORegionAnswer, _ progress: inout IORegionProgress
  ) -> Reception {
    let isOwn = earlier === progress.answer
    var deadline: MonotonicTime? = earlier.deadline
    switch unsafe waitForDevice(sequence, &deadline) {
    case .reached(let data):
      unsafe isInFlight = false
      turns.settle(earlier, .done(data))
      guard isOwn else { return .other }
      progress = IORegionProgress()
      turns.leave()
      return .own(.done(data))
    case .interrupted:
      // It stays in flight; where it is another one's, this one was not sent, and comes again.
      turns.stepBack(&progress)
      return .own(.interrupted)
    case .failed(let failure):
      unsafe isInFlight = false
      turns.settle(earlier, .failed(failure))
      return .own(fail(isOwn ? failure : .closed, &progress))
    }
  }

  private func send(
    _ command: IORegionCommand, _ progress: inout IORegionProgress
  ) -> IORegionOutcome {
    // Both waits share it, also with those before a signal. The clock is not asked before one of them
    // takes longer than a few looks.
    var deadline = progress.deadline
    // Relaxed: see `close`.
    guard !isOver.load(ordering: .relaxed) else { return fail(.closed, &progress) }
    if unsafe isPosted {
      switch unsafe waitForDevice(sequence, &deadline) {
      case .reached: unsafe isPosted = false
      case .interrupted:
        progress.deadline = deadline ?? start()
        turns.stepBack(&progress)
        return .interrupted
      case .failed(let failure): return fail(failure == .lost ? .closed : failure, &progress)
      }
    }
    progress.deadline = nil
    unsafe sequence &+= 1
    unsafe memory.send(command, sequence: sequence)
    // Whoever closed meanwhile may have said so in the place of this command's sequence.
    guard !isOver.load(ordering: .sequentiallyConsistent) else {
      memory.closeCommands()
      commandEvent.signal()
      return fail(.closed, &progress)
    }
    if memory.deviceSleeps { commandEvent.signal() }
    guard command.wantsResponse else {
      unsafe isPosted = true
      turns.leave()
      return .done(0)
    }
    switch unsafe waitForDevice(sequence, &deadline) {
    case .reached(let data):
      turns.leave()
      return .done(command.operation == .read ? data : 0).cut(to: command)
    case .interrupted:
      unsafe isInFlight = true
      turns.interrupt(&progress, deadline: deadline ?? start())
      return .interrupted
    case .failed(let failure): return fail(failure, &progress)
    }
  }

  /// Closes the port and gives the turn to whoever finds it closed; the access has ended.
  private func fail(
    _ failure: IORegionFailure, _ progress: inout IORegionProgress
  ) -> IORegionOutcome {
    progress = IORegionProgress()
    close()
    turns.leave()
    return .failed(failure)
  }

  // MARK: Waiting for the device

  private enum Wait {
    case reached(UInt64)
    case interrupted
    case failed(IORegionFailure)
  }

  /// Waits until the command with this sequence is taken, or answered.
  ///
  /// - Parameter deadline: when the wait is over; nil where it has not begun, and set when it takes a while.
  @inline(__always)
  private func waitForDevice(_ wanted: UInt64, _ deadline: inout MonotonicTime?) -> Wait {
    if let found = look(for: wanted, memory.responseSequence) { return found }
    if unsafe spin.shouldSpin() {
      if let found = lookAgain(for: wanted) {
        unsafe spin.noteHit()
        return found
      }
      if let found = spin(for: wanted, &deadline) { return found }
    }
    return sleep(for: wanted, &deadline)
  }

  /// The deadline of a wait that begins now.
  private func start() -> MonotonicTime {
    let (end, overflow) = MonotonicTime.now.nanoseconds.addingReportingOverflow(timeout)
    return MonotonicTime(nanoseconds: overflow ? .max : end)
  }

  /// What a sequence says that was found; nil when the device has not come to it.
  @inline(__always)
  private func look(for wanted: UInt64, _ found: UInt64) -> Wait? {
    if found == wanted &- 1 { return nil }
    guard found == wanted else {
      return .failed(found == MailboxMemory.closed ? .lost : .garbage)
    }
    return .reached(memory.responseData)
  }

  /// How many looks at the sequence pass between two looks at the clock.
  private static let roundsBetweenTimes = 32

  @inline(__always)
  private func lookAgain(for wanted: UInt64) -> Wait? {
    for _ in 0..<Self.roundsBetweenTimes {
      cvfu_pause()
      if let found = look(for: wanted, memory.responseSequence) { return found }
    }
    return nil
  }

  private func spin(for wanted: UInt64, _ deadline: inout MonotonicTime?) -> Wait? {
    let latest = deadline ?? start()
    deadline = latest
    var end = MonotonicTime.now.nanoseconds &+ MailboxSpin.window
    while true {
      if let found = lookAgain(for: wanted) {
        unsafe spin.noteHit()
        return found
      }
      let now = MonotonicTime.now.nanoseconds
      guard now >= end else { continue }
      guard unsafe spin.isEndless else {
        unsafe spin.noteMiss()
        return nil
      }
      end = now &+ MailboxSpin.window
      // Relaxed: see `close`.
      if isOver.load(ordering: .relaxed) { return .failed(.closed) }
      if now >= latest.nanoseconds { return .failed(.timedOut) }
      let state = cvfu_event_wait(responseEvent.rawValue, liveness?.descriptor ?? -1, 0)
      if state > 0, state & CInt(CVFU_PEER_GONE) != 0 { return ended(wanted) }
    }
  }

  private func sleep(for wanted: UInt64, _ deadline: inout MonotonicTime?) -> Wait {
    let latest = deadline ?? start()
    deadline = latest
    while true {
      memory.setMonitorSleeps(true)
      if let found = look(for: wanted, memory.responseSequenceAfterFlag) {
        memory.setMonitorSleeps(false)
        return found
      }
      // Relaxed: `close` signals the event, so that nobody sleeps over it.
      if isOver.load(ordering: .relaxed) {
        memory.setMonitorSleeps(false)
        return .failed(.closed)
      }
      let left = latest.remainingMilliseconds
      let state = cvfu_event_wait(responseEvent.rawValue, liveness?.descriptor ?? -1, left)
      memory.setMonitorSleeps(false)
      if state == -EINTR { return .interrupted }
      guard state > 0 else {
        // An answer at the last moment counts; else the time is over, or the descriptors are unusable.
        return look(for: wanted, memory.responseSequence) ?? .failed(.timedOut)
      }
      if state & CInt(CVFU_EVENT_RAISED) != 0 { responseEvent.consume() }
      if state & CInt(CVFU_PEER_GONE) != 0 { return ended(wanted) }
      // Signals without an answer are no reason to stay longer.
      if left == 0 { return look(for: wanted, memory.responseSequence) ?? .failed(.timedOut) }
    }
  }

  /// The server is gone; what it answered before that counts.
  private func ended(_ wanted: UInt64) -> Wait {
    look(for: wanted, memory.responseSequence) ?? .failed(.lost)
  }
}
