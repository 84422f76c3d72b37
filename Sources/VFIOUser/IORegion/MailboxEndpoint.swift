import CVFIOUserLinux

/// The device's end of a mailbox: takes commands out of shared memory and has them carried out.
///
/// While its loop spins it looks at the memory; before the loop sleeps it says so in the memory, and the
/// monitor announces the next command by an eventfd. With ``PollingMode/always`` the loop never sleeps, and
/// no access costs a system call.
///
/// It trusts nothing in the memory: a command out of turn, or one that means nothing, closes the mailbox.
///
/// Threads: confined to its loop, making and releasing included.
final class MailboxEndpoint: IORegionEndpoint {
  private let store: MailboxStore
  private let memory: MailboxMemory
  private let loop: EventLoop
  private var executor: (any IORegionExecutor)?
  private var poller: PollerToken?
  private var watch: WatchToken?

  /// The sequence of the last command that was taken.
  private var taken: UInt64 = 0
  /// Whether that command is being carried out, or waits for its answer.
  private var isInProgress = false
  private var wantsResponse = false
  private var pauseCount = 0
  private(set) var isClosed = false
  /// Whether the next command may be taken: nothing in progress, no pause, not closed.
  private var isReady = true

  /// Serves a mailbox on `loop` until `close`. The loop keeps the endpoint until then.
  ///
  /// - Throws: `ENOMEM` or `ENOSPC` when the loop can watch nothing more.
  init(
    _ store: MailboxStore, on loop: EventLoop, for executor: any IORegionExecutor
  ) throws(Errno) {
    self.store = store
    self.loop = loop
    self.executor = executor
    memory = store.memory
    watch = try loop.watch(store.commandEvent.rawValue, .readable) { [self] _ in announced() }
    poller = loop.addPoller { [self] in poll() }
    loop.addSleeper(self)
  }

  // MARK: Accesses

  var generation: UInt64 { taken }

  func respond(_ data: UInt64, generation: UInt64) {
    guard isInProgress, generation == taken else { return }
    finish(data)
  }

  /// Carries out the next command, if there is one. Returns whether there was.
  @inline(__always)
  private func poll() -> Bool {
    guard isReady else { return false }
    let sequence = memory.commandSequence
    guard sequence != taken else { return false }
    take(sequence)
    return true
  }

  private func take(_ sequence: UInt64) {
    guard sequence == taken &+ 1, sequence != MailboxMemory.closed else {
      return end(sequence == MailboxMemory.closed ? nil : "a command out of turn")
    }
    taken = sequence
    let command: IORegionCommand
    do throws(WireError) { command = try memory.takeCommand() } catch {
      return end(error.context)
    }
    isInProgress = true
    isReady = false
    wantsResponse = command.wantsResponse
    // Nobody waits for the response: the place is free for the next command, though that has to wait.
    if !wantsResponse {
      memory.acknowledge(sequence)
      announceResponse()
    }
    guard let executor else { return }
    switch executor.execute(command, from: self) {
    case .done(let data): if isInProgress, taken == sequence { finish(data) }
    case .later: break
    case .refused(let reason): end(reason)
    }
  }

  private func finish(_ data: UInt64) {
    isInProgress = false
    update()
    guard wantsResponse, !isClosed else { return }
    memory.respond(data, sequence: taken)
    announceResponse()
  }

  @inline(__always)
  private func announceResponse() {
    if memory.monitorSleeps { store.responseEvent.signal() }
  }

  /// The monitor has signalled the command event: the loop slept, or the monitor was told late.
  private func announced() {
    store.commandEvent.consume()
    if poll() { loop.noteActivity() }
  }

  @inline(__always)
  private func update() { isReady = !isInProgress && pauseCount == 0 && !isClosed }

  // MARK: Pauses and the end

  func pause() {
    pauseCount += 1
    update()
  }

  func resume() {
    pauseCount -= 1
    // A command that came meanwhile is found by the poller, or before the loop sleeps.
    update()
  }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    isInProgress = false
    update()
    memory.closeResponses()
    store.responseEvent.signal()
    loop.removeSleeper(self)
    if let poller { loop.removePoller(poller) }
    if let watch { loop.unwatch(watch) }
    poller = nil
    watch = nil
    executor = nil
  }

  /// Closes because of the monitor; nil when that has only given the mailbox up.
  private func end(_ violation: StaticString?) {
    guard !isClosed, let executor else { return }
    close()
    executor.endpointClosed(self, because: violation.map { "\($0)" })
  }
}

extension MailboxEndpoint: LoopSleeper {
  func willSleep() {
    // While it takes no commands it need not hear of them: it looks when it does again.
    if isReady { memory.setDeviceSleeps(true) }
  }

  func takeWork() -> Bool {
    guard isReady else { return false }
    let sequence = memory.commandSequenceAfterFlag
    guard sequence != taken else { return false }
    take(sequence)
    loop.noteActivity()
    return true
  }

  func didWake() { memory.setDeviceSleeps(false) }
}
