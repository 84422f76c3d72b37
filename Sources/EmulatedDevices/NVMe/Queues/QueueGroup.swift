import DeviceModel
import NVMe
import Synchronization

/// The queues that one loop serves: it fetches their commands, and tells the driver of their ends.
///
/// Threads: confined to its loop, but for ``ring()``.
@safe
final class QueueGroup {
  /// What a group tells its controller; called on the group's loop.
  struct Reports {
    var failure: (_ reason: String) -> Void
    var doorbellError: (DoorbellError) -> Void
    var commandError: (ErrorReport) -> Void
    /// Something that the pin follows has changed; only for the group of the device's own loop.
    var pinChange: (() -> Void)?
  }

  let loop: EventLoop
  let engine: DMAEngine
  let executor: CommandExecutor
  private let pool = RequestPool()
  private let doorbells: SharedDeviceMemory
  let reports: Reports
  var submissionQueues: ContiguousArray<SubmissionQueue> = [] {
    didSet { listQueues() }
  }
  /// The same, for looking at each without counting references.
  private let queuePointers: UnsafeMutablePointer<Unmanaged<SubmissionQueue>>
  private var queueCount = 0
  var completionQueues: ContiguousArray<CompletionQueue> = []
  /// Completion queues with completions that no interrupt has told of.
  var unsignalled: ContiguousArray<CompletionQueue> = []
  var hasUnsignalled = false
  var shadow: ShadowDoorbells?
  /// Whether drivers must ring when they have gone on; a loop that never sleeps finds out by itself.
  private let wantsRings: Bool
  private var poller: PollerToken?
  private var isInBatch = false
  private var isFinishPosted = false
  /// Whether commands ran out of requests, or of memory for their data, and queues have to be looked at
  /// when there is some again.
  private var isStarved = false
  /// Whether commands are fetched.
  var isRunning = true
  /// Whether nothing may be written to guest memory: what ends meanwhile is told of afterwards.
  var isAtRest = false
  /// Whether ended commands are forgotten rather than told of.
  var isDropping = false
  var inFlight = 0
  /// Who is told once nothing is in flight any more.
  var whenIdle: [() -> Void] = []

  /// As many submission queues as a controller can have: those of I/O, and the admin queue.
  private static let queueLimit = 65
  /// How many entries of one queue are fetched before it is the next one's turn.
  private static let batch = 64
  /// As many of a queue that is reached by messages: each takes several round trips, and the client's
  /// own commands wait meanwhile.
  private static let messageBatch = 4

  /// Set while the group has been asked to look at its queues; see ``ring()``.
  private let isRung = Atomic<Bool>(false)
  /// Whether a completion waits for room, so that head doorbells matter.
  let wantsHeads = Atomic<Bool>(false)

  init(
    loop: EventLoop, engine: DMAEngine, doorbells: SharedDeviceMemory,
    namespaces: NamespaceTable, limits: TransferLimits, reports: Reports
  ) {
    self.loop = loop
    wantsRings = loop.polling != .always
    self.engine = engine
    self.doorbells = doorbells
    self.reports = reports
    // Safety: owned storage of a trivial type; `queueCount` entries are initialised.
    unsafe queuePointers = .allocate(capacity: Self.queueLimit)
    executor = CommandExecutor(engine: engine, namespaces: namespaces, limits: limits, pool: pool)
  }

  deinit {
    // Safety: this object's own storage.
    unsafe queuePointers.deallocate()
  }

  private func listQueues() {
    queueCount = min(submissionQueues.count, Self.queueLimit)
    for index in 0..<queueCount {
      // Safety: there is room for them, and `submissionQueues` keeps them for as long as they are listed.
      unsafe (queuePointers + index).initialize(to: .passUnretained(submissionQueues[index]))
    }
  }

  /// Opens the ways to the storages and starts to look for work; on the loop.
  ///
  /// From here to ``close()`` the group keeps itself: the loop, its queues and requests name it, and a
  /// weak reference would make every use of it slow.
  func start() {
    executor.open(on: loop)
    poller = loop.addPoller { [self] in poll() }
  }

  /// Ends for good; on the loop.
  func close() {
    if let poller { loop.removePoller(poller) }
    poller = nil
    executor.close()
    for queue in submissionQueues { dropSpare(of: queue) }
    submissionQueues = []
    completionQueues = []
    unsignalled = []
    pool.close()
  }

  // MARK: Doorbells

  /// Has the loop look at its queues soon: a doorbell was written. From any thread.
  func ring() {
    // Sequentially consistent against the look at the doorbells that follows the store below: either
    // that look sees the new value, or this finds false and posts another.
    guard !isRung.exchange(true, ordering: .sequentiallyConsistent) else { return }
    let confined = LoopConfined(self)
    loop.post { confined.value.answer() }
  }

  private func answer() {
    isRung.store(false, ordering: .sequentiallyConsistent)
    _ = poll()
    if submissionQueues.contains(where: { hasWork($0) }) { ring() }
  }

  private func hasWork(_ queue: SubmissionQueue) -> Bool {
    queue.head != queue.tail && mayFetch(queue) && !isStarved && engine.isEnabled
  }

  /// The value of a doorbell, from the driver's own memory if it keeps it there.
  @inline(__always)
  func doorbell(_ offset: Int, _ shadow: ShadowDoorbells?) -> UInt32? {
    if let shadow { return try? shadow.values.load32(at: offset) }
    return try? doorbells.load32(at: offset)
  }

  @inline(__always)
  func readTail(_ queue: SubmissionQueue) {
    guard let value = doorbell(queue.doorbellOffset, queue.shadow), Int(value) != queue.tail
    else { return }
    guard value < queue.entryCount else { return noteInvalidTail(queue, value) }
    queue.tail = Int(value)
    queue.invalidTail = nil
  }

  @inline(never)
  private func noteInvalidTail(_ queue: SubmissionQueue, _ value: UInt32) {
    guard queue.invalidTail != value else { return }
    queue.invalidTail = value
    reports.doorbellError(.invalidValue)
  }

  func noteInvalidHead() { reports.doorbellError(.invalidValue) }

  /// Says up to where the driver may go without ringing; false when it has gone on meanwhile.
  @inline(never)
  private func announceTail(_ queue: SubmissionQueue, _ shadow: ShadowDoorbells) -> Bool {
    queue.owesAnnouncement = false
    try? shadow.eventIndexes.store32(UInt32(queue.tail), at: queue.doorbellOffset)
    // The driver writes its tail, then reads the index; we write the index, then read the tail.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    let before = queue.tail
    readTail(queue)
    return queue.tail == before
  }

  // MARK: Work

  /// Looks at all queues once. Returns whether there was anything to do.
  func poll() -> Bool {
    guard !isInBatch else { return false }
    isInBatch = true
    defer { isInBatch = false }
    var found = executor.hasPending ? executor.poll() : false
    let isReachable = engine.isEnabled
    if isReachable, wantsHeads.load(ordering: .relaxed) { found = takeHeads() || found }
    if isReachable, isRunning {
      var index = 0
      // Carrying out a command may add and remove queues.
      while index < queueCount {
        // Safety: an initialised entry of a queue that `submissionQueues` keeps.
        if unsafe queuePointers[index]._withUnsafeGuaranteedRef({ needsService($0) }),
          fetch(submissionQueues[index])
        {
          found = true
        }
        index += 1
      }
    }
    if found { finish() }
    return found
  }

  @inline(__always)
  private func mayFetch(_ queue: SubmissionQueue) -> Bool {
    isRunning && !queue.isStopped && !queue.completionQueue.hasParked
  }

  @inline(__always)
  private func needsService(_ queue: SubmissionQueue) -> Bool {
    readTail(queue)
    return queue.head != queue.tail || queue.owesAnnouncement
  }

  private func fetch(_ queue: SubmissionQueue) -> Bool {
    let allowance = queue.window.isMapped ? Self.batch : Self.messageBatch
    var budget = allowance
    let completions = queue.completionQueue
    guard var request = queue.spare ?? takeSpare(for: queue) else { return false }
    while mayFetch(queue) {
      // Even with nothing left of the allowance: a driver that was told nothing would not ring.
      if queue.head == queue.tail {
        guard queue.owesAnnouncement, let shadow = queue.shadow, !announceTail(queue, shadow)
        else { break }
      }
      guard budget > 0 else { break }
      // What ends at once leaves its request for the next command.
      if !request.isIdle {
        request.isHeld = false
        guard let next = takeSpare(for: queue) else { return true }
        request = next
      }
      do {
        request.entry = try queue.fetch()
      } catch {
        if !queue.isStopped { unfetchable(queue, error) }
        break
      }
      // Memory that is reached by messages takes time, in which the controller may be disabled.
      guard !queue.isStopped else { break }
      request.isIdle = false
      queue.owesAnnouncement = wantsRings && queue.shadow != nil
      queue.inFlight &+= 1
      inFlight &+= 1
      if let handler = queue.handler {
        handler.execute(request)
      } else if executor.execute(request) {
        if tellsCompletions {
          completions.post(
            queue, result: 0, commandIdentifier: request.entry.commandIdentifier, status: .success)
        }
        request.data.removeAll()
        request.isIdle = true
        noteEnd(of: queue)
        guard request.isHeld else {
          pool.give(request)
          return true
        }
      }
      budget &-= 1
    }
    if !request.isIdle {
      request.isHeld = false
      queue.spare = nil
    }
    return budget != allowance
  }

  /// A request for the next command of a queue, which keeps it while commands end at once.
  private func takeSpare(for queue: SubmissionQueue) -> NVMeRequest? {
    queue.spare = executor.hasBuffersLeft ? pool.take(self, queue) : nil
    if let request = queue.spare { request.isHeld = true } else { isStarved = true }
    return queue.spare
  }

  /// Takes back what a queue kept, which is going away.
  func dropSpare(of queue: SubmissionQueue) {
    guard let request = queue.spare else { return }
    queue.spare = nil
    request.isHeld = false
    if request.isIdle { pool.give(request) }
  }

  @inline(never)
  private func unfetchable(_ queue: SubmissionQueue, _ error: DMAError) {
    // Without bus mastering nothing is fetched; the entry is still there afterwards.
    guard error.code != .disabled, error.code != .cancelled else { return }
    queue.isStopped = true
    fail("submission queue \(queue.identifier) cannot be read: \(error)")
  }

  func fail(_ reason: String) { reports.failure(reason) }

  func report(_ error: ErrorReport) { reports.commandError(error) }

  private func takeHeads() -> Bool {
    var found = false
    var hasParked = false
    for queue in completionQueues where queue.hasParked {
      if queue.takeHead() { found = true }
      if queue.hasParked { hasParked = true }
    }
    wantsHeads.store(hasParked, ordering: .relaxed)
    return found
  }

  /// A completion waits for room; a head that moved just before is looked at once more.
  func willNeedHead(_ queue: CompletionQueue) {
    wantsHeads.store(true, ordering: .relaxed)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    _ = queue.takeHead()
  }

  // MARK: The end of a batch

  /// A completion queue has something new to tell.
  @inline(__always)
  func willSignal(_ queue: CompletionQueue) {
    unsignalled.append(queue)
    hasUnsignalled = true
    if !isInBatch { postFinish() }
  }

  @inline(never)
  private func postFinish() {
    guard !isFinishPosted else { return }
    isFinishPosted = true
    let confined = LoopConfined(self)
    loop.post {
      confined.value.isFinishPosted = false
      confined.value.finish()
    }
  }

  private func finish() {
    executor.kick()
    guard hasUnsignalled else { return }
    hasUnsignalled = false
    for queue in unsignalled { queue.signal() }
    unsignalled.removeAll(keepingCapacity: true)
    reports.pinChange?()
  }

  // MARK: Ends of commands

  /// Whether completions can be told of now.
  var mayTell: Bool { !isAtRest && engine.isEnabled }

  /// Whether completions are still told of.
  var tellsCompletions: Bool { !isDropping }

  @inline(__always)
  func noteEnd(of queue: SubmissionQueue) {
    queue.inFlight &-= 1
    inFlight &-= 1
    if queue.isStopped || !isRunning { checkRest(queue) }
  }

  @inline(__always)
  func recycle(_ request: NVMeRequest) {
    request.data.removeAll()
    request.isIdle = true
    if !request.isHeld { pool.give(request) }
    if isStarved {
      isStarved = false
      ring()
    }
  }

  @inline(never)
  private func checkRest(_ queue: SubmissionQueue) {
    if queue.isStopped, queue.inFlight == 0, let action = queue.whenEmpty {
      queue.whenEmpty = nil
      later(action)
    }
    if inFlight == 0, !whenIdle.isEmpty {
      later { [self] in if inFlight == 0 { tellIdle() } }
    }
  }

  private func later(_ action: @escaping () -> Void) {
    let confined = LoopConfined(action)
    loop.post { confined.value() }
  }
}
