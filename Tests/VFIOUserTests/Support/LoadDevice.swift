import Synchronization

@testable import VFIOUser

/// A device whose registers are served by two loops of their own, each with its view of the client's
/// memory. A write asks for an increment of guest memory and answers when that is done, now or later.
final class LoadDevice: ServedDevice {
  /// What both loops and the session's loop may look at.
  final class Shared: Sendable {
    /// Whether the device has said that it is quiet.
    let isQuiet = Atomic<Bool>(false)
    /// Work that was done while the device should have been quiet.
    let intrusions = Atomic<Int>(0)
    let increments = Atomic<Int>(0)
    let resets = Atomic<Int>(0)
  }

  /// One register file, confined to its loop.
  final class Worker: RegionHandler {
    let loop: EventLoop
    let shared: Shared
    var dma: DMAEngine?
    private var late: [DeferredReply] = []
    private var count = 0

    /// Where this worker's part of guest memory starts: loops share no memory.
    private let base: UInt64

    init(_ loop: EventLoop, _ shared: Shared, base: UInt64) {
      self.loop = loop
      self.base = base
      self.shared = shared
    }

    func read(
      at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) { try? target.store(UInt8(truncatingIfNeeded: count), at: 0) }

    func write(
      at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
    ) throws(Errno) {
      if shared.isQuiet.load(ordering: .acquiring) {
        shared.intrusions.wrappingAdd(1, ordering: .relaxed)
      }
      count += 1
      if let dma {
        let address = DMAAddress(base + offset.rawValue)
        do throws(DMAError) {
          let value: UInt32 = try dma.load(at: address)
          try dma.store(value &+ 1, at: address)
          shared.increments.wrappingAdd(1, ordering: .relaxed)
        } catch { throw error.errno }
      }
      // Every third answer comes from a later turn.
      if count % 3 == 0, let reply = access.deferReply() {
        late.append(reply)
        let confined = LoopConfined(self)
        loop.post { confined.value.answerLate() }
      }
    }

    private func answerLate() {
      for reply in late { reply.complete() }
      late = []
    }
  }

  let shared: Shared
  let workers: [Worker]
  private let paths: [RegionPath]
  private var services: DeviceServices?

  init(loops: [EventLoop], shared: Shared, paths: [RegionPath] = []) {
    self.shared = shared
    self.paths = paths
    workers = loops.enumerated().map { Worker($0.element, shared, base: UInt64(512 * $0.offset)) }
  }

  var layout: DeviceLayout {
    DeviceLayout(
      flags: .reset,
      regions: [RegionLayout(byteCount: 128, rights: [.read, .write], paths: paths)],
      interrupts: [])
  }

  func region(at index: Int) -> Region? {
    try? Region(
      byteCount: 128,
      ranges: workers.enumerated().map { index, worker in
        RegionRange(
          offset: RegionOffset(UInt64(64 * index)), byteCount: 64, handler: worker,
          loop: worker.loop, isConcurrent: true)
      })
  }

  func start(_ services: DeviceServices) {
    self.services = services
    for worker in workers {
      let engine = LoopConfined((worker, services.makeDMAEngine(on: worker.loop)))
      worker.loop.post { engine.value.0.dma = engine.value.1 }
    }
  }

  func clientConnected() {}
  func clientDisconnected() {}
  func memoryMapped(_ range: DMARange) {}
  func memoryUnmapped(_ range: DMARange) {}

  /// Quiet once both loops have come past everything that was handed to them.
  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    let left = Countdown(workers.count)
    let shared = shared
    for worker in workers {
      worker.loop.post {
        if left.count.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
          shared.isQuiet.store(true, ordering: .releasing)
          completion.done()
        }
      }
    }
    return .notYet
  }

  func reset(_ kind: ResetKind) { shared.resets.wrappingAdd(1, ordering: .relaxed) }
  func resume() { shared.isQuiet.store(false, ordering: .releasing) }
}

private final class Countdown: Sendable {
  let count: Atomic<Int>
  init(_ count: Int) { self.count = Atomic(count) }
}
