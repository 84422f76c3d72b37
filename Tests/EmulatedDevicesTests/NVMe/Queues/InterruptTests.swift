import NVMe
import Testing

@testable import VFIOUser

@Suite("NVMe interrupts", .timeLimit(.minutes(10)), .serialized)
struct InterruptTests {
  @Test("E2: 64 queue pairs interrupt by 64 vectors, each by its own", arguments: [0, 3])
  func vectors(threads: Int) throws {
    let rig = try NVMeRig("queue-threads=\(threads)")
    let vectors = try rig.enableVectors(65)
    let queues = try (1...64).map {
      try rig.makePair(UInt16($0), entryCount: 8, vector: $0)
    }
    _ = vectors[0].consume()
    for queue in queues.reversed() {
      let own = Int(queue.identifier)
      try rig.putReads(1, in: queue)
      try rig.ring(queue)
      #expect(vectors[own].wait(timeout: .seconds(60)) == 1)
      #expect(try rig.reap(queue, 1).count == 1)
      #expect(!vectors.contains { $0.consume() != nil })
    }
  }

  @Test("E2: with the pin in use, a queue with another vector than 0 is refused")
  func vectorOfPin() throws {
    let rig = try NVMeRig("queues=4")
    let base = rig.address(rig.allocate(4096))
    func create(vector: UInt32, interrupts: Bool = true) throws -> NVMeStatus {
      try rig.status(
        .createCompletionQueue, prp1: base, 1 | 7 << 16,
        vector << 16 | (interrupts ? 3 : 1))
    }
    #expect(try create(vector: 1) == .invalidInterruptVector)
    #expect(try create(vector: 4) == .invalidInterruptVector)
    // Without interrupts the vector means nothing.
    #expect(try create(vector: 1, interrupts: false) == .success)
    #expect(try rig.status(.deleteCompletionQueue, 1) == .success)
    #expect(try create(vector: 0) == .success)
    #expect(try rig.status(.deleteCompletionQueue, 1) == .success)
    _ = try rig.enableVectors(5)
    #expect(try create(vector: 5) == .invalidInterruptVector)
    #expect(try create(vector: 4) == .success)
  }

  @Test("E2: a queue without a vector interrupts nobody")
  func silent() throws {
    let rig = try NVMeRig()
    let vectors = try rig.enableVectors(65)
    let queue = try rig.makePair(1, entryCount: 8)
    _ = vectors[0].consume()
    try rig.putReads(3, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 3).count == 3)
    try rig.settle()
    #expect(!vectors.contains { $0.consume() != nil })
  }

  /// Reads one block after the other: how many interrupts there were for them.
  private func interrupts(
    _ rig: NVMeRig, _ queue: DriverQueue, _ vector: ClientInterrupt, _ count: Int
  ) throws -> UInt64 {
    var total: UInt64 = 0
    for _ in 0..<count {
      try rig.putReads(1, in: queue)
      try rig.ring(queue)
      _ = try rig.reap(queue, 1)
      try rig.settle()
      total += vector.consume() ?? 0
    }
    return total
  }

  /// Interrupt Coalescing, with times in units of 100 microseconds.
  private func coalesce(_ rig: NVMeRig, threshold: UInt32, time: UInt32) throws {
    #expect(try rig.status(.setFeatures, 8, threshold | time << 8) == .success)
  }

  @Test("E2: an aggregated interrupt comes once the threshold is reached", arguments: [0, 1])
  func threshold(threads: Int) throws {
    let rig = try NVMeRig("queue-threads=\(threads)")
    let vectors = try rig.enableVectors(2)
    let queue = try rig.makePair(1, entryCount: 8, vector: 1)
    try coalesce(rig, threshold: 3, time: 255)
    // Four completions at most go without one; the time, which is much longer, would give fewer.
    let total = try interrupts(rig, queue, vectors[1], 400)
    #expect(total >= 100)
    #expect(total < 400)
  }

  @Test("E2: an aggregated interrupt comes once its time is up", arguments: [0, 1])
  func time(threads: Int) throws {
    let rig = try NVMeRig("queue-threads=\(threads)")
    let vectors = try rig.enableVectors(2)
    let queue = try rig.makePair(1, entryCount: 8, vector: 1)
    try coalesce(rig, threshold: 255, time: 255)
    // On a busy machine each command may take longer than the time; not all of them will.
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    var total: UInt64
    repeat {
      total = try interrupts(rig, queue, vectors[1], 100)
    } while total >= 100 && MonotonicTime.now < deadline
    #expect(total < 100)
    try rig.putReads(1, in: queue)
    try rig.ring(queue)
    #expect(vectors[1].wait(timeout: .seconds(60)) != nil)
  }

  @Test(
    "E2: without a threshold, without a time or with coalescing disabled each batch interrupts",
    arguments: [(0, 255, false), (3, 0, false), (3, 255, true)])
  func immediate(threshold: UInt32, time: UInt32, isDisabled: Bool) throws {
    let rig = try NVMeRig()
    let vectors = try rig.enableVectors(2)
    let queue = try rig.makePair(1, entryCount: 8, vector: 1)
    try coalesce(rig, threshold: threshold, time: time)
    if isDisabled { #expect(try rig.status(.setFeatures, 9, 1 | 1 << 16) == .success) }
    #expect(try interrupts(rig, queue, vectors[1], 50) == 50)
  }

  @Test("E10: an aggregated interrupt does not outlive its queue", arguments: [false, true])
  func noneAfterwards(isReset: Bool) throws {
    let rig = try NVMeRig()
    let vectors = try rig.enableVectors(2)
    let queue = try rig.makePair(1, entryCount: 8, vector: 1)
    try coalesce(rig, threshold: 255, time: 255)
    try rig.putReads(1, in: queue)
    try rig.ring(queue)
    _ = try rig.reap(queue, 1)
    if isReset { try rig.disable() } else { try rig.deletePair(queue) }
    _ = vectors[1].consume()
    // Longer than the time that it could have waited.
    #expect(vectors[1].wait(timeout: .milliseconds(40)) == nil)
  }

  @Test("E2: admin completions are never aggregated")
  func admin() throws {
    let rig = try NVMeRig()
    let vectors = try rig.enableVectors(1)
    try coalesce(rig, threshold: 255, time: 255)
    try rig.settle()
    _ = vectors[0].consume()
    for _ in 0..<20 {
      try rig.submit(.getFeatures, 7)
      #expect(vectors[0].wait(timeout: .seconds(60)) == 1)
      _ = try rig.reap(rig.admin, 1)
    }
  }

  @Test("E2: a batch of completions is one interrupt")
  func batch() throws {
    let storage = try ProbeStorage(.held)
    let rig = try NVMeRig(storages: [storage])
    let vectors = try rig.enableVectors(2)
    let queue = try rig.makePair(1, entryCount: 64, vector: 1)
    try rig.putReads(60, in: queue)
    try rig.ring(queue)
    try rig.wait { storage.heldCount == 60 }
    #expect(vectors[1].consume() == nil)
    storage.release()
    #expect(try rig.reap(queue, 60).count == 60)
    try rig.settle()
    #expect(vectors[1].consume() == 1)
  }
}
