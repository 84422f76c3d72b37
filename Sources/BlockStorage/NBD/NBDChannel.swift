import CBlockStorageLinux
import CNBD
import Glibc
import VFIOUser

/// One loop's connection to an NBD server.
///
/// Requests whose memory is one stretch go to the socket directly; others go through a buffer.
@safe
final class NBDChannel: BlockChannel {
  private let storage: NBDStorage
  private let loop: EventLoop
  private var link: NBDLink
  private var tasks: [NBDTask] = []
  private var unused: [NBDTask] = []
  private let shelf = BufferShelf()
  /// Tasks that wait for the connection, or for room in it, from `firstWaiting` on.
  private var waiting: [NBDTask] = []
  private var firstWaiting = 0
  /// The tasks in flight, by the tags of their commands.
  private var inFlight = [NBDTask?](repeating: nil, count: NBDConnection.capacity)
  private var freeTags = Array(0..<UInt32(NBDConnection.capacity))
  /// Tasks that failed within `submit`, and whose owners are told later.
  private var failures: [(task: NBDTask, error: Errno)] = []
  private var isReaping = false
  private var hasWork = false
  private var isClosing = false
  private var hasGivenBack = false

  init(_ storage: NBDStorage, _ connection: NBDConnection?, on loop: EventLoop) {
    self.storage = storage
    self.loop = loop
    link = NBDLink(storage, connection, on: loop)
    link.onChange = { [unowned self] in
      _ = settle()
    }
  }

  deinit {
    // The connection goes with what is in flight on it: nothing of it touches memory afterwards.
    let isIdle = inFlight.allSatisfy { $0 == nil }
    do {
      let connection = link.end()
      if !hasGivenBack { storage.giveBack(isIdle ? connection : nil) }
    }
    for task in tasks where task.request != nil { task.end() }
  }

  // MARK: BlockChannel

  func submit(_ request: BlockRequest) -> BlockOutcome {
    let count = request.byteCount
    let facts = storage.facts
    guard !isClosing else { return .failed(.badFileDescriptor) }
    guard count >= 0, request.byteOffset <= storage.byteCount,
      UInt64(count) <= storage.byteCount - request.byteOffset,
      (request.byteOffset | UInt64(count)) % facts.minimum_byte_count == 0
    else { return .failed(.invalidArgument) }
    let stage: NBDTask.Stage
    switch request.operation {
    case .read: stage = .transfer
    case .flush:
      guard facts.can_flush, !facts.is_read_only else { return .done }
      stage = .flush
    case .write, .writeZeroes, .discard:
      guard !facts.is_read_only else { return .failed(.readOnlyFileSystem) }
      stage =
        request.operation == .write ? .transfer : facts.can_zero ? .zero : .writtenZeros
    }
    if count == 0, request.operation != .flush { return .done }
    guard link.isUsable else { return .failed(.ioError) }

    let task = takeTask()
    task.begin(request)
    task.stage = stage
    if stage == .transfer {
      guard request.data.byteCount >= count else {
        release(task)
        return .failed(.invalidArgument)
      }
      do throws(DMAError) {
        if request.data.isMapped, request.data.segmentCount == 1 {
          task.holdMemory()
        } else {
          try task.bounce()
        }
      } catch {
        release(task)
        return .failed(error.errno)
      }
    }
    waiting.append(task)
    if link.isReady { startWaiting() }
    return .pending
  }

  func kick() {
    link.update()
    // Commands may have ended while others were given: nothing else announces that.
    if link.hasCompletions || !failures.isEmpty { workSoon() }
  }

  func poll() -> Bool {
    guard !isReaping else { return false }
    if freeTags.count < inFlight.count { link.receive() }
    return settle()
  }

  func close() {
    isClosing = true
    if tasks.count == unused.count { shutDown() }
  }

  // MARK: Steps of a task

  /// Goes on with all that has an answer. Whether there was any.
  private func settle() -> Bool {
    guard !isReaping else { return false }
    return withExtendedLifetime(self) {
      isReaping = true
      defer { isReaping = false }
      var found = false
      while let (tag, error) = link.takeCompletion() {
        found = true
        guard let task = inFlight[Int(tag)] else { continue }
        inFlight[Int(tag)] = nil
        freeTags.append(tag)
        ended(task, error)
      }
      switch link.state {
      case .ready: startWaiting()
      case .lost:
        // Their answers do not come any more, or they cannot be asked.
        for task in takeWaiting() { failures.append((task, .ioError)) }
      case .connecting: break
      }
      while !failures.isEmpty {
        found = true
        let ended = failures
        failures = []
        for (task, error) in ended { finish(task, error) }
      }
      link.update()
      if link.hasCompletions { workSoon() }
      if isClosing, tasks.count == unused.count { shutDown() }
      return found
    }
  }

  /// Gives the task's next command.
  private func start(_ task: NBDTask) {
    guard let request = task.request, let tag = freeTags.popLast() else { return }
    inFlight[Int(tag)] = task
    let offset = request.byteOffset + UInt64(task.doneByteCount)
    let left = request.byteCount - task.doneByteCount
    let isDurable = request.isDurable && storage.facts.can_fua
    let handle = unsafe link.handle
    var result: CInt = -EIO
    if let handle = unsafe handle {
      // Safety: memory that is handed over stays in place until the command has ended: a transfer
      // holds guest memory, the task its buffer, and zeros are for ever.
      switch task.stage {
      case .transfer:
        task.stepByteCount = min(left, storage.transferLimit)
        let start = unsafe memory(of: task, request)
        if let start = unsafe start {
          result =
            request.operation == .read
            ? unsafe cnbd_read(handle, start, task.stepByteCount, offset, tag)
            : unsafe cnbd_write(handle, start, task.stepByteCount, offset, isDurable, tag)
        }
      case .writtenZeros:
        task.stepByteCount = min(left, Int(CBS_ZEROS_BYTE_COUNT), storage.transferLimit)
        result = unsafe cnbd_write(
          handle, cbs_zeros(), task.stepByteCount, offset, isDurable, tag)
      case .zero:
        task.stepByteCount = min(left, storage.zeroLimit)
        result = unsafe cnbd_zero(
          handle, UInt64(task.stepByteCount), offset, isDurable,
          request.operation == .writeZeroes, tag)
      case .flush:
        task.stepByteCount = 0
        result = unsafe cnbd_flush(handle, tag)
      }
    }
    guard result < 0 else { return }
    // libnbd refused the command, and does not answer it.
    inFlight[Int(tag)] = nil
    freeTags.append(tag)
    failures.append((task, Self.error(-result)))
    workSoon()
  }

  /// Where the task's next bytes are.
  private func memory(of task: NBDTask, _ request: BlockRequest) -> UnsafeMutableRawPointer? {
    if task.isBounced { return unsafe task.buffer.map { unsafe $0.start + task.doneByteCount } }
    // Safety: a list that is mapped as a whole, in one stretch, held in place by the transfer.
    return unsafe request.data.withVectors { vectors in
      unsafe vectors.first?.iov_base.map { unsafe $0 + task.doneByteCount }
    }
  }

  private func ended(_ task: NBDTask, _ error: Int32) {
    guard let request = task.request else { return }
    guard error == 0 else { return finish(task, Self.error(error)) }
    task.doneByteCount += task.stepByteCount
    switch task.stage {
    case .flush: return finish(task, nil)
    case .transfer, .zero, .writtenZeros:
      if task.doneByteCount < request.byteCount { break }
      // A server without FUA, but with a cache.
      guard request.isDurable, request.operation != .read, !storage.facts.can_fua,
        storage.facts.can_flush
      else { return finish(task, nil) }
      task.stage = .flush
    }
    waiting.append(task)
  }

  private func finish(_ task: NBDTask, _ error: Errno?) {
    guard let request = task.request else { return }
    var error = error
    if error == nil {
      do throws(DMAError) { try task.deliver() } catch let failure { error = failure.errno }
    }
    release(task)
    request.owner.completed(request, error)
  }

  /// What a guest is told: that the server is gone is an I/O error to it.
  private static func error(_ number: Int32) -> Errno {
    let error = Errno(rawValue: number)
    let lost: [Errno] = [
      .socketNotConnected, .brokenPipe, .connectionReset, .connectionRefused, .connectionAbort,
    ]
    return lost.contains(error) || number <= 0 ? .ioError : error
  }

  // MARK: Pool and queue

  private func takeTask() -> NBDTask {
    if let task = unused.popLast() { return task }
    let task = NBDTask(tag: tasks.count, shelf)
    tasks.append(task)
    return task
  }

  private func release(_ task: NBDTask) {
    task.end()
    unused.append(task)
  }

  private func startWaiting() {
    while firstWaiting < waiting.count, !freeTags.isEmpty {
      let task = waiting[firstWaiting]
      firstWaiting += 1
      start(task)
    }
    if firstWaiting == waiting.count {
      waiting.removeAll(keepingCapacity: true)
      firstWaiting = 0
    } else if firstWaiting > 1024 {
      waiting.removeFirst(firstWaiting)
      firstWaiting = 0
    }
  }

  private func takeWaiting() -> ArraySlice<NBDTask> {
    let tasks = waiting[firstWaiting...]
    waiting = []
    firstWaiting = 0
    return tasks
  }

  /// Looks again at the loop's next turn.
  private func workSoon() {
    guard !hasWork else { return }
    hasWork = true
    loop.schedule(after: .zero) { [weak self] in
      self?.hasWork = false
      _ = self?.settle()
    }
  }

  private func shutDown() {
    guard !hasGivenBack else { return }
    hasGivenBack = true
    storage.giveBack(link.end())
  }
}
