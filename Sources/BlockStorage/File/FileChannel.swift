import CBlockStorageLinux
import Glibc
import VFIOUser

/// One loop's way to a file: turns requests into calls, and hands these to an engine in batches.
///
/// Nothing ends within `submit`: the owner is told by `poll`, or when the loop finds the engine's
/// descriptor readable.
@safe
final class FileChannel: BlockChannel {
  private let storage: FileStorage
  private let loop: EventLoop
  private let engine: OpaquePointer
  private var watch: WatchToken?
  private var tasks: [FileTask] = []
  private var unused: [FileTask] = []
  private let shelf = BufferShelf()
  /// Tasks that wait for room in the engine, from `firstWaiting` on.
  private var waiting: [FileTask] = []
  private var firstWaiting = 0
  private var inFlightCount = 0
  private var hasRetry = false
  private var isClosing = false
  /// Whether `completions` is in use: an owner may poll from within its completion.
  private var isReaping = false
  private let completions: UnsafeMutablePointer<cbs_completion>

  /// How many calls are in flight at most; further ones wait here.
  private static let capacity = 512
  /// How many threads make calls where there is no ring.
  private static let threadCount: UInt32 = 4
  /// How many ends are looked at in one go, so that the loop's other work gets its turn.
  private static let batchCount = 128
  /// How often the kernel may ask to try again before that is an error.
  private static let maximumAttempts = 100

  init(_ storage: FileStorage, on loop: EventLoop) throws(Errno) {
    var engine: OpaquePointer?
    let capacity = UInt32(Self.capacity)
    // Safety: a local variable takes the engine, which is this object's until deinit.
    var result =
      storage.engine == .ring
      ? unsafe cbs_ring_engine(capacity, &engine)
      : unsafe cbs_thread_engine(capacity, Self.threadCount, &engine)
    if result == -ENOMEM, storage.engine == .ring {
      // Older kernels count rings as locked memory. Safety: as above.
      result = unsafe cbs_thread_engine(capacity, Self.threadCount, &engine)
    }
    guard result == 0, let engine = unsafe engine else { throw Errno(rawValue: -result) }
    self.storage = storage
    self.loop = loop
    unsafe self.engine = engine
    // Safety: written by the engine before it is read; released by deinit.
    unsafe completions = .allocate(capacity: Self.batchCount)
    watch = try loop.watch(unsafe cbs_descriptor(engine), .readable) { [unowned self] _ in
      _ = poll()
    }
  }

  deinit {
    if let watch { loop.unwatch(watch) }
    // The kernel must have let go of all memory before anything of it goes away.
    while inFlightCount > 0 {
      // Safety: something is in flight, and the array has room for `batchCount`.
      unsafe cbs_wait(engine)
      inFlightCount -= Int(unsafe cbs_reap(engine, completions, UInt32(Self.batchCount)))
    }
    for task in tasks { task.end() }
    // Safety: nothing is in flight, and nobody else has these.
    unsafe cbs_free(engine)
    unsafe completions.deallocate()
  }

  // MARK: BlockChannel

  func submit(_ request: BlockRequest) -> BlockOutcome {
    let count = request.byteCount
    guard !isClosing else { return .failed(.badFileDescriptor) }
    guard count >= 0, request.byteOffset <= storage.byteCount,
      UInt64(count) <= storage.byteCount - request.byteOffset
    else { return .failed(.invalidArgument) }
    let stage: FileTask.Stage
    switch request.operation {
    case .read: stage = .transfer
    case .flush where storage.traits.isReadOnly: return .done
    case .flush: stage = .sync
    case .write, .writeZeroes, .discard:
      guard !storage.traits.isReadOnly else { return .failed(.readOnlyFileSystem) }
      stage = request.operation == .write ? .transfer : storage.zeroStage(for: request.operation)
    }
    if count == 0, request.operation != .flush { return .done }

    let task = takeTask()
    task.begin(request)
    task.stage = stage
    task.attempts = 0
    if stage == .transfer {
      guard request.data.byteCount >= count else {
        release(task)
        return .failed(.invalidArgument)
      }
      do throws(DMAError) {
        if request.data.isMapped, storage.accepts(request.data, request.byteOffset, count) {
          task.holdMemory()
        } else {
          try task.bounce()
        }
      } catch {
        release(task)
        return .failed(error.errno)
      }
    }
    if inFlightCount < Self.capacity, firstWaiting == waiting.count {
      start(task)
    } else {
      waiting.append(task)
    }
    return .pending
  }

  func kick() {
    // Safety: the engine lives as long as this object.
    if unsafe cbs_kick(engine) < 0 { tryAgainSoon() }
  }

  func poll() -> Bool {
    guard !isReaping else { return false }
    // Safety: the array has room for `batchCount`.
    let count = Int(unsafe cbs_reap(engine, completions, UInt32(Self.batchCount)))
    guard count > 0 else { return false }
    // An owner may let go of the channel from within its completion.
    withExtendedLifetime(self) {
      var goesOn = false
      isReaping = true
      defer { isReaping = false }
      for index in 0..<count {
        // Safety: `count` entries were written. Nothing below reaps again.
        let completion = unsafe completions[index]
        inFlightCount -= 1
        if ended(tasks[Int(completion.tag)], completion.result) { goesOn = true }
      }
      if startWaiting() || goesOn { kick() }
      if isClosing, tasks.count == unused.count { shutDown() }
    }
    return true
  }

  func close() {
    isClosing = true
    if tasks.count == unused.count { shutDown() }
  }

  // MARK: Steps of a task

  /// Hands the task's next call to the engine.
  private func start(_ task: FileTask) {
    guard var operation = unsafe operation(for: task) else { return }
    // Safety: the memory that the call uses stays in place until its completion: the task, its
    // buffer, and guest memory that a transfer holds.
    if unsafe cbs_start(engine, &operation, UInt64(task.tag)) == 0 {
      inFlightCount += 1
    } else {
      waiting.append(task)
      tryAgainSoon()
    }
  }

  /// A call has ended. Whether the task has another one.
  private func ended(_ task: FileTask, _ result: Int64) -> Bool {
    guard let request = task.request else { return false }
    guard result >= 0 else {
      let error = Errno(rawValue: CInt(truncatingIfNeeded: 0 - result))
      return failed(task, error)
    }
    switch task.stage {
    case .transfer, .writtenZeros:
      // Nothing at all: the file has become shorter.
      guard result > 0 else { return finish(task, .ioError) }
      task.attempts = 0
      task.doneByteCount += Int(result)
      if task.doneByteCount < request.byteCount { return again(task) }
    case .punch, .zeroRange:
      if request.isDurable {
        task.stage = .sync
        return again(task)
      }
    case .sync: break
    }
    return finish(task, nil)
  }

  private func failed(_ task: FileTask, _ error: Errno) -> Bool {
    switch (error, task.stage) {
    case (.interrupted, _), (.resourceTemporarilyUnavailable, _):
      task.attempts += 1
      guard task.attempts < Self.maximumAttempts else { return finish(task, error) }
      return again(task)
    case (.notSupportedOnSocket, .punch), (.notSupportedOnSocket, .zeroRange),
      (.noFunction, .punch), (.noFunction, .zeroRange):
      storage.noteUnsupported(task.stage)
      task.stage = .writtenZeros
      return again(task)
    case (.invalidArgument, .punch), (.invalidArgument, .zeroRange):
      // A device takes whole sectors alone.
      task.stage = .writtenZeros
      return again(task)
    default: return finish(task, error)
    }
  }

  private func again(_ task: FileTask) -> Bool {
    start(task)
    return true
  }

  private func finish(_ task: FileTask, _ error: Errno?) -> Bool {
    guard let request = task.request else { return false }
    var error = error
    if error == nil {
      do throws(DMAError) { try task.deliver() } catch let failure { error = failure.errno }
    }
    release(task)
    request.owner.completed(request, error)
    return false
  }

  /// The next call of a task; nil for one that is not in use.
  private func operation(for task: FileTask) -> cbs_operation? {
    guard let request = task.request else { return nil }
    var operation = unsafe cbs_operation()
    let offset = request.byteOffset + UInt64(task.doneByteCount)
    let count = request.byteCount - task.doneByteCount
    // Safety: what the pointers lead to stays until the call has ended, see `start`.
    unsafe operation.descriptor = storage.descriptor(offset, count)
    unsafe operation.offset = offset
    unsafe operation.is_durable = request.isDurable
    switch task.stage {
    case .transfer:
      unsafe operation.code = UInt8(request.operation == .read ? CBS_READ : CBS_WRITE)
      if task.isBounced {
        guard let start = unsafe task.buffer?.start else { return nil }
        unsafe task.vectors[0] = unsafe iovec(
          iov_base: start + task.doneByteCount, iov_len: count)
        unsafe operation.vectors = UnsafePointer(task.vectors)
        unsafe operation.vector_count = 1
      } else {
        unsafe request.data.withVectors(from: task.doneByteCount) { vectors in
          unsafe operation.vectors = vectors.baseAddress
          unsafe operation.vector_count = UInt32(min(vectors.count, Int(CBS_MAX_VECTORS)))
        }
      }
    case .writtenZeros:
      unsafe operation.code = UInt8(CBS_WRITE)
      unsafe operation.vector_count = zeros(count, task)
      unsafe operation.vectors = UnsafePointer(task.vectors)
    case .sync: unsafe operation.code = UInt8(CBS_SYNC)
    case .punch, .zeroRange:
      unsafe operation.code = UInt8(task.stage == .punch ? CBS_PUNCH : CBS_ZERO)
      unsafe operation.byte_count = UInt64(count)
    }
    return unsafe operation
  }

  /// Points the task's vectors to zeros, `count` bytes or as many as they hold.
  private func zeros(_ count: Int, _ task: FileTask) -> UInt32 {
    var left = count
    var index = 0
    // Safety: the zeros are never written, a call that writes the file only reads them.
    let zeros = unsafe UnsafeMutableRawPointer(mutating: cbs_zeros())
    while left > 0, index < FileTask.vectorCount {
      let step = min(left, Int(CBS_ZEROS_BYTE_COUNT))
      unsafe task.vectors[index] = unsafe iovec(iov_base: zeros, iov_len: step)
      left -= step
      index += 1
    }
    return UInt32(index)
  }

  // MARK: Pool and queue

  private func takeTask() -> FileTask {
    if let task = unused.popLast() { return task }
    let task = FileTask(tag: tasks.count, shelf)
    tasks.append(task)
    return task
  }

  private func release(_ task: FileTask) {
    task.end()
    unused.append(task)
  }

  /// Starts tasks that waited for room. Whether there were any.
  private func startWaiting() -> Bool {
    var hasStarted = false
    let end = waiting.count
    while firstWaiting < end, inFlightCount < Self.capacity {
      let task = waiting[firstWaiting]
      firstWaiting += 1
      start(task)
      hasStarted = true
    }
    if firstWaiting == waiting.count {
      waiting.removeAll(keepingCapacity: true)
      firstWaiting = 0
    } else if firstWaiting > 1024 {
      waiting.removeFirst(firstWaiting)
      firstWaiting = 0
    }
    return hasStarted
  }

  /// The kernel is short of something: ends may free it, and if not, time does.
  private func tryAgainSoon() {
    guard !hasRetry else { return }
    hasRetry = true
    loop.schedule(after: .milliseconds(1)) { [weak self] in
      guard let self else { return }
      hasRetry = false
      _ = startWaiting()
      kick()
    }
  }

  private func shutDown() {
    if let watch { loop.unwatch(watch) }
    watch = nil
  }
}
