import Synchronization

@testable import BlockStorage
@testable import VFIOUser

/// Memory whose requests a test sees, holds back, and makes fail.
///
/// Threads: any.
final class ProbeStorage: BlockStorage {
  /// What was asked of it.
  struct Request: Equatable {
    var operation: BlockOperation
    var byteOffset: UInt64
    var byteCount: Int
    var isDurable: Bool
  }

  /// What becomes of requests.
  enum Behaviour {
    /// Done at once.
    case immediate
    /// Done later, by the loop.
    case deferred
    /// Done when the test lets them go.
    case held
    /// As `held`; what cannot be reached directly takes memory of the channel's own meanwhile.
    case heldInBuffers
  }

  private struct State {
    var behaviour = Behaviour.immediate
    var failures: [BlockOperation: Errno] = [:]
    var requests: [Request] = []
    var channels: [LoopConfined<ProbeChannel>] = []
    var heldCount = 0
    var mostHeldCount = 0
  }

  let name = "probe"
  let byteCount: UInt64
  let traits: BlockStorageTraits
  private let memory: MemoryStorage
  private let state = Mutex(State())

  init(
    byteCount: UInt64 = 1 << 20, _ behaviour: Behaviour = .immediate,
    traits change: (inout BlockStorageTraits) -> Void = { _ in }
  ) throws {
    self.byteCount = byteCount
    memory = try MemoryStorage(byteCount: byteCount)
    var traits = memory.traits
    change(&traits)
    self.traits = traits
    state.withLock { $0.behaviour = behaviour }
  }

  func makeChannel(on loop: EventLoop) throws(Errno) -> any BlockChannel {
    let channel = ProbeChannel(self, try memory.makeChannel(on: loop), loop)
    let confined = LoopConfined(channel)
    state.withLock { $0.channels.append(confined) }
    return channel
  }

  // MARK: For tests

  /// What was asked for, in order.
  var requests: [Request] { state.withLock { $0.requests } }
  /// How many requests wait for ``release()``.
  var heldCount: Int { state.withLock { $0.heldCount } }
  /// How many waited at once, at most.
  var mostHeldCount: Int { state.withLock { $0.mostHeldCount } }

  var behaviour: Behaviour {
    get { state.withLock { $0.behaviour } }
    set { state.withLock { $0.behaviour = newValue } }
  }

  /// What it holds; with nothing in flight.
  func contents(at offset: Int = 0, _ count: Int) -> [UInt8] {
    // Safety: the range lies within the memory, as the tests ask for it.
    let bytes = unsafe UnsafeRawBufferPointer(start: memory.start + offset, count: count)
    return unsafe Array(bytes)
  }

  /// Changes what it holds; with nothing in flight.
  func fill(_ bytes: [UInt8], at offset: Int = 0) {
    // Safety: as above.
    let target = unsafe UnsafeMutableRawBufferPointer(
      start: memory.start + offset, count: bytes.count)
    unsafe target.copyBytes(from: bytes)
  }

  /// Forgets what was asked for.
  func forgetRequests() { state.withLock { $0.requests = [] } }

  /// Makes requests of a kind fail from now on; nil lets them succeed again.
  func fail(_ operation: BlockOperation, _ error: Errno?) {
    state.withLock { $0.failures[operation] = error }
  }

  /// Carries out what is held, and what comes from now on at once.
  ///
  /// - Parameter isBusOff: whether to wait until the device may not reach guest memory.
  func release(whenBusIsOff isBusOff: Bool = false) {
    let channels = state.withLock { state in
      state.behaviour = .immediate
      return state.channels
    }
    for channel in channels {
      channel.value.loop.post { channel.value.releaseAll(whenBusIsOff: isBusOff) }
    }
  }

  // MARK: For channels

  fileprivate func note(_ request: BlockRequest) -> (Behaviour, Errno?) {
    state.withLock { state in
      state.requests.append(
        Request(
          operation: request.operation, byteOffset: request.byteOffset,
          byteCount: request.byteCount, isDurable: request.isDurable))
      if state.behaviour == .held || state.behaviour == .heldInBuffers {
        state.heldCount += 1
        state.mostHeldCount = max(state.mostHeldCount, state.heldCount)
      }
      return (state.behaviour, state.failures[request.operation])
    }
  }

  fileprivate func forget(_ channel: ProbeChannel) {
    state.withLock { state in state.channels.removeAll { $0.value === channel } }
  }

  fileprivate func noteReleased() { state.withLock { $0.heldCount -= 1 } }
}

/// One loop's way to a probe.
private final class ProbeChannel: BlockChannel {
  let loop: EventLoop
  private let storage: ProbeStorage
  private let memory: any BlockChannel
  private var held: [(request: BlockRequest, error: Errno?, task: StorageTask?)] = []
  private let shelf = BufferShelf()

  init(_ storage: ProbeStorage, _ memory: any BlockChannel, _ loop: EventLoop) {
    self.storage = storage
    self.memory = memory
    self.loop = loop
  }

  func submit(_ request: BlockRequest) -> BlockOutcome {
    let (behaviour, error) = storage.note(request)
    switch behaviour {
    case .immediate:
      if let error { return .failed(error) }
      return memory.submit(request)
    case .deferred:
      let confined = LoopConfined((self, request, error))
      loop.post { confined.value.0.carryOut(confined.value.1, confined.value.2) }
      return .pending
    case .heldInBuffers:
      let task = StorageTask(tag: 0, shelf)
      task.begin(request)
      do throws(DMAError) { try task.bounce() } catch { return .failed(error.errno) }
      held.append((request, error, task))
      return .pending
    case .held:
      held.append((request, error, nil))
      return .pending
    }
  }

  func releaseAll(whenBusIsOff isBusOff: Bool) {
    if isBusOff, let first = held.first, first.request.data.engine.isEnabled {
      let confined = LoopConfined(self)
      return loop.post { confined.value.releaseAll(whenBusIsOff: true) }
    }
    let requests = held
    held = []
    for (request, error, task) in requests {
      storage.noteReleased()
      task?.end()
      carryOut(request, error)
    }
  }

  private func carryOut(_ request: BlockRequest, _ error: Errno?) {
    var error = error
    if error == nil, case .failed(let own) = memory.submit(request) { error = own }
    request.owner.completed(request, error)
  }

  func kick() {}
  func poll() -> Bool { false }
  func close() { storage.forget(self) }
}
