import DeviceModel
import NVMe
import Synchronization

/// All queues of a controller, on however many loops they run.
///
/// Threads: confined to the device's loop; what it is asked for is done on the loop of the queue, and
/// completions come back here.
final class QueueSet {
  struct Queue {
    var group: QueueGroup
    var entryCount: Int
    /// For a submission queue its completion queue, for a completion queue its own number.
    var completionQueue: UInt16
    /// Whether it takes nothing new, and is gone once nothing of it is in flight.
    var isDeleting = false
  }

  /// Something that stops the controller: an entry that cannot be read or written.
  var onFailure: ((_ reason: String) -> Void)?
  /// A doorbell was written wrongly.
  var onDoorbellError: ((DoorbellError) -> Void)?
  /// A command has failed.
  var onCommandError: ((ErrorReport) -> Void)?

  unowned let function: PCIFunction
  private let namespaces: NamespaceTable
  private let limits: TransferLimits
  let doorbells: SharedDeviceMemory
  let mode: DoorbellMode
  private let threadCount: Int
  /// That of the device's own loop, those of the loops that were asked for, and `messageGroup`.
  var groups: [QueueGroup] = []
  /// For queues in memory that is reached by messages, once there was such a driver.
  private var messageGroup: QueueGroup?
  var submissionQueues: [UInt16: Queue] = [:]
  var completionQueues: [UInt16: Queue] = [:]
  var shadow: ShadowDoorbellBuffers?
  /// How doorbells wish to be reached; nil where their page is mapped.
  let paths: DoorbellPaths?
  /// What was said of that last.
  var offeredPaths: [RegionPath]?
  /// Whether a doorbell came without its value, which is told once.
  var hasLostValue = false
  var coalescing = InterruptCoalescing()
  var undelayedVectors: Set<Int> = []
  let pin: PCIInterruptLine
  /// Vectors that INTMS has masked; for the pin, bit 0 alone counts.
  var interruptMask: UInt32 = 0 { didSet { updatePin() } }

  /// - Parameter threadCount: how many loops of their own the I/O queues get; 0 for the device's.
  init(
    _ function: PCIFunction, namespaces: NamespaceTable, limits: TransferLimits,
    doorbells: SharedDeviceMemory, mode: DoorbellMode, threadCount: Int, queueCount: Int
  ) {
    self.function = function
    self.namespaces = namespaces
    self.limits = limits
    self.doorbells = doorbells
    self.mode = mode
    self.threadCount = threadCount
    paths = mode == .trapped ? DoorbellPaths(queueCount: queueCount, threadCount: threadCount) : nil
    pin = function.interruptLine()
  }

  deinit {
    // The function has ended the other loops, and this one runs the deinit or nothing any more: what
    // would be posted to them now would never run, and keep them.
    for group in groups { group.close() }
  }

  // MARK: Groups

  /// Makes the groups; guest memory is out of reach before a client has been there.
  private func makeGroups() throws(Errno) {
    guard groups.isEmpty else { return }
    var made = [makeGroup(on: function.loop, isHome: true)]
    for index in 0..<threadCount {
      let loop = try function.makeWorkerLoop(named: "nvme-queues-\(index + 1)")
      made.append(makeGroup(on: loop, isHome: false))
    }
    groups = made
    for group in groups { Self.run(group) { $0.start() } }
  }

  /// Makes the group whose loop may wait for the driver's memory.
  ///
  /// A client that waits for a register may answer no message meanwhile: the device's own loop has to
  /// stay free for it.
  private func makeMessageGroup() throws(Errno) {
    guard messageGroup == nil, namespaces.all.allSatisfy({ $0.storage.traits.allowsManyChannels })
    else { return }
    let loop = try function.makeWorkerLoop(named: "nvme-messages")
    let group = makeGroup(on: loop, isHome: false)
    messageGroup = group
    groups.append(group)
    Self.run(group) { $0.start() }
  }

  private func makeGroup(on loop: EventLoop, isHome: Bool) -> QueueGroup {
    let home = function.loop
    let target = LoopConfined(Weak(self))
    func atHome(_ body: @escaping @Sendable (QueueSet) -> Void) {
      if isHome {
        if let set = target.value.object { body(set) }
      } else {
        home.post { if let set = target.value.object { body(set) } }
      }
    }
    return QueueGroup(
      loop: loop, engine: function.makeDMAEngine(on: loop), doorbells: doorbells,
      namespaces: namespaces, limits: limits,
      reports: QueueGroup.Reports(
        failure: { reason in atHome { $0.onFailure?(reason) } },
        doorbellError: { error in atHome { $0.onDoorbellError?(error) } },
        commandError: { report in atHome { $0.onCommandError?(report) } },
        pinChange: isHome ? { [weak self] in self?.updatePin() } : nil))
  }

  private final class Weak {
    weak var object: QueueSet?
    init(_ object: QueueSet) { self.object = object }
  }

  /// Runs `body` on a group's loop: at once where that is this one.
  static func run(
    _ group: QueueGroup, _ body: @escaping (QueueGroup) -> Void
  ) {
    if group.loop.isCurrent { return body(group) }
    let confined = LoopConfined((group, body))
    group.loop.post { confined.value.1(confined.value.0) }
  }

  /// Runs `body` on the loop of every group; `completion` here, once each has called its `done`.
  func everywhere(
    _ body: @escaping (QueueGroup, _ done: @escaping () -> Void) -> Void,
    _ completion: @escaping () -> Void
  ) {
    guard !groups.isEmpty else { return completion() }
    var left = groups.count
    let oneDone = LoopConfined {
      left -= 1
      if left == 0 { completion() }
    }
    for group in groups {
      let done = backHome(oneDone.value)
      Self.run(group) { body($0, done) }
    }
  }

  /// A closure for another loop that runs `body` on this one.
  private func backHome(_ body: @escaping () -> Void) -> () -> Void {
    let home = function.loop
    let confined = LoopConfined(body)
    // Not `isCurrent`: once nobody runs that loop any more, this one is not to do its work.
    return { if home.isRunningHere { confined.value() } else { home.post { confined.value() } } }
  }

  // MARK: The controller as a whole

  /// Makes the admin queues and starts to serve them.
  func enable(
    submission: DMAAddress, submissionEntryCount: Int, completion: DMAAddress,
    completionEntryCount: Int, pageByteCount: Int, handler: any CommandHandler
  ) throws(Errno) {
    try makeGroups()
    guard let group = groups.first else { return }
    if !isMapped(completion, completionEntryCount * CompletionQueueEntry.byteCount, group) {
      try makeMessageGroup()
    }
    for group in groups { Self.run(group) { $0.executor.pageByteCount = pageByteCount } }
    addCompletionQueue(
      0, base: completion, entryCount: completionEntryCount, vector: 0, on: group, handler: nil)
    addSubmissionQueue(
      0, base: submission, entryCount: submissionEntryCount, completionQueue: 0, on: group,
      handler: handler)
  }

  /// Ends everything that is in flight and forgets all queues; `completion` runs when that is so.
  ///
  /// Commands in the background are the caller's to drop.
  func disable(_ completion: @escaping () -> Void) {
    submissionQueues = [:]
    completionQueues = [:]
    shadow = nil
    // Before the driver can see that the controller is disabled: the next doorbells have values again.
    offerPaths()
    coalescing = InterruptCoalescing()
    undelayedVectors = []
    everywhere({ group, done in
      group.executor.writesThrough = false
      group.removeAll(done)
    }) { [weak self] in
      self?.updatePin()
      completion()
    }
  }

  /// Fetches nothing until ``resume()``; `completion` runs when nothing is in flight.
  func pause(_ completion: @escaping () -> Void) { everywhere({ $0.pause($1) }, completion) }

  /// Goes on after ``pause(_:)``.
  func resume() { for group in groups { Self.run(group) { $0.resume() } } }

  /// Looks at all queues: the bus may let through again what it did not.
  func ring() { for group in groups { group.ring() } }

  /// Brings the counters of the namespaces up to date.
  func publishCounters(_ completion: @escaping () -> Void) {
    everywhere(
      { group, done in
        group.executor.publishTallies()
        done()
      }, completion)
  }

  /// Whether each write is on its medium before it ends, as with FUA.
  func setWritesThrough(_ isOn: Bool, _ completion: @escaping () -> Void) {
    everywhere(
      { group, done in
        group.executor.writesThrough = isOn
        done()
      }, completion)
  }

  /// The group of the device's own loop, once there is one.
  var home: QueueGroup? { groups.first }

  // MARK: Queues

  func hasSubmissionQueue(_ identifier: UInt16) -> Bool { submissionQueues[identifier] != nil }
  func isDeleting(submissionQueue identifier: UInt16) -> Bool {
    submissionQueues[identifier]?.isDeleting ?? false
  }
  func hasCompletionQueue(_ identifier: UInt16) -> Bool { completionQueues[identifier] != nil }

  /// Whether submission queues use the completion queue.
  func isInUse(completionQueue identifier: UInt16) -> Bool {
    submissionQueues.values.contains { $0.completionQueue == identifier }
  }

  /// Whether there are any I/O queues.
  var hasIOQueues: Bool {
    submissionQueues.keys.contains { $0 != 0 } || completionQueues.keys.contains { $0 != 0 }
  }

  /// Makes an I/O completion queue; the caller has checked what the driver asks for.
  func createCompletionQueue(
    _ identifier: UInt16, base: DMAAddress, entryCount: Int, vector: Int?,
    _ done: @escaping () -> Void
  ) {
    guard let group = group(for: identifier, base, entryCount, vector) else { return done() }
    addCompletionQueue(
      identifier, base: base, entryCount: entryCount, vector: vector, on: group, handler: done)
  }

  /// The loop of a queue: one of its own where there are any, another where its memory is reached by
  /// messages. The pin belongs to the device's loop.
  private func group(
    for identifier: UInt16, _ base: DMAAddress, _ entryCount: Int, _ vector: Int?
  ) -> QueueGroup? {
    guard vector == nil || function.usesMessageInterrupts, let home = groups.first else {
      return groups.first
    }
    guard isMapped(base, entryCount * CompletionQueueEntry.byteCount, home) else {
      return messageGroup ?? home
    }
    return threadCount == 0 ? home : groups[1 + (Int(identifier) - 1) % threadCount]
  }

  private func isMapped(_ base: DMAAddress, _ byteCount: Int, _ home: QueueGroup) -> Bool {
    guard let range = DMARange(address: base, byteCount: UInt64(byteCount)) else { return false }
    return DMAWindow(home.engine, range).isMapped
  }

  private func addCompletionQueue(
    _ identifier: UInt16, base: DMAAddress, entryCount: Int, vector: Int?, on group: QueueGroup,
    handler done: (() -> Void)?
  ) {
    guard
      let range = DMARange(
        address: base, byteCount: UInt64(entryCount * CompletionQueueEntry.byteCount))
    else {
      onFailure?("completion queue \(identifier) lies beyond all memory")
      done?()
      return
    }
    completionQueues[identifier] = Queue(
      group: group, entryCount: entryCount, completionQueue: identifier)
    offerPaths()
    try? doorbells.store32(0, at: Int(identifier) * 8 + 4)
    let trigger = vector.map { function.interruptTrigger(vector: $0) }
    let delay = vector.map { coalescing(for: $0) } ?? InterruptCoalescing()
    let finished = backHome(done ?? {})
    Self.run(group) { group in
      let queue = CompletionQueue(
        identifier: identifier, entryCount: entryCount, window: DMAWindow(group.engine, range),
        vector: vector, trigger: trigger, group: group)
      queue.coalescing = delay
      group.add(queue)
      finished()
    }
  }

  /// Makes an I/O submission queue; the caller has checked what the driver asks for.
  func createSubmissionQueue(
    _ identifier: UInt16, base: DMAAddress, entryCount: Int, completionQueue: UInt16,
    _ done: @escaping () -> Void
  ) {
    guard let group = completionQueues[completionQueue]?.group else { return done() }
    addSubmissionQueue(
      identifier, base: base, entryCount: entryCount, completionQueue: completionQueue, on: group,
      handler: nil, done)
  }

  private func addSubmissionQueue(
    _ identifier: UInt16, base: DMAAddress, entryCount: Int, completionQueue: UInt16,
    on group: QueueGroup, handler: (any CommandHandler)?, _ done: @escaping () -> Void = {}
  ) {
    guard
      let range = DMARange(
        address: base, byteCount: UInt64(entryCount * SubmissionQueueEntry.byteCount))
    else {
      onFailure?("submission queue \(identifier) lies beyond all memory")
      return done()
    }
    submissionQueues[identifier] = Queue(
      group: group, entryCount: entryCount, completionQueue: completionQueue)
    offerPaths()
    try? doorbells.store32(0, at: Int(identifier) * 8)
    let finished = backHome(done)
    function.logger.debug(
      "nvme: submission queue \(identifier), \(entryCount) entries, completion queue \(completionQueue), doorbells \(doorbellDescription(identifier))"
    )
    Self.run(group) { group in
      guard let completions = group.completionQueue(completionQueue) else { return finished() }
      group.add(
        SubmissionQueue(
          identifier: identifier, entryCount: entryCount,
          window: DMAWindow(group.engine, range), completionQueue: completions, handler: handler))
      finished()
    }
  }

  /// How a queue's doorbells arrive, for people.
  private func doorbellDescription(_ identifier: UInt16) -> String {
    guard shadow != nil, identifier != 0 else { return mode.description }
    return mode == .trapped ? "trapped (ioeventfd) and shadow" : "\(mode.description) and shadow"
  }

  /// Ends a submission queue; `done` runs once none of its commands is in flight.
  func deleteSubmissionQueue(_ identifier: UInt16, _ done: @escaping () -> Void) {
    guard let queue = submissionQueues[identifier] else { return done() }
    submissionQueues[identifier]?.isDeleting = true
    let finished = backHome { [weak self] in
      if let self, submissionQueues[identifier]?.isDeleting == true {
        submissionQueues[identifier] = nil
        offerPaths()
      }
      done()
    }
    Self.run(queue.group) { $0.removeSubmissionQueue(identifier, finished) }
  }

  /// Ends a completion queue that no submission queue uses.
  func deleteCompletionQueue(_ identifier: UInt16, _ done: @escaping () -> Void) {
    guard let queue = completionQueues.removeValue(forKey: identifier) else { return done() }
    offerPaths()
    let finished = backHome(done)
    Self.run(queue.group) {
      $0.removeCompletionQueue(identifier)
      finished()
    }
  }
}
