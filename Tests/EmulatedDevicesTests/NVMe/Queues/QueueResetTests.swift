import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("NVMe queues under resets", .timeLimit(.minutes(1)), .serialized)
struct QueueResetTests {
  @Test(
    "E9: after a controller reset under load nothing completes late, and queues work again",
    arguments: QueueMode.allCases, [false, true])
  func controllerReset(mode: QueueMode, shadow: Bool) throws {
    let rig = try mode.makeRig()
    for _ in 0..<5 {
      if shadow { try rig.useShadowDoorbells() }
      let queues = try (1...4).map { try rig.makePair(UInt16($0), entryCount: 64) }
      for queue in queues {
        try rig.putReads(60, in: queue)
        try rig.ring(queue)
      }
      try rig.disable()
      // What was not told of before RDY fell is never told of.
      let before = try queues.map { try completions(of: $0, rig) }
      try rig.enable()
      #expect(try queues.map { try completions(of: $0, rig) } == before)
    }
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.putReads(60, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 60).count == 60)
  }

  @Test("E10: a device reset under load leaves a device that works", arguments: QueueMode.allCases)
  func deviceReset(mode: QueueMode) throws {
    let rig = try mode.makeRig()
    for _ in 0..<5 {
      let queues = try (1...4).map { try rig.makePair(UInt16($0), entryCount: 64) }
      for queue in queues {
        try rig.putReads(60, in: queue)
        try rig.ring(queue)
      }
      try rig.client.reset()
      #expect(try rig.status & 1 == 0)
      try rig.client.region(at: PCIRegionIndex.configurationSpace)
        .write(UInt16(6), at: RegionOffset(4))
      try rig.enable()
    }
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.putReads(60, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 60).count == 60)
  }

  @Test(
    "E9: with bus mastering off commands wait, and go on afterwards", arguments: QueueMode.allCases)
  func busMaster(mode: QueueMode) throws {
    let rig = try mode.makeRig()
    let queue = try rig.makePair(1, entryCount: 64)
    let configuration = try rig.client.region(at: PCIRegionIndex.configurationSpace)
    try configuration.write(UInt16(2), at: RegionOffset(4))
    try rig.putReads(20, in: queue)
    try rig.ring(queue)
    #expect(try rig.next(queue) == nil)
    try configuration.write(UInt16(6), at: RegionOffset(4))
    #expect(try rig.reap(queue, 20).count == 20)
    #expect(try rig.status & 3 == 1)
  }

  @Test(
    "E2: a queue whose memory is taken away is fatal, and a reset mends it",
    arguments: QueueMode.allCases)
  func unmapped(mode: QueueMode) throws {
    let rig = try mode.makeRig()
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.putReads(1, in: queue)
    try rig.client.unmapMemory(
      at: DMAAddress(QueueRig.base), byteCount: UInt64(rig.memory.byteCount))
    try rig.ring(queue)
    // CSTS.CFS
    try rig.wait { try rig.status & 2 == 2 }
    if mode == .messages {
      try rig.client.mapPrivateMemory(rig.memory, at: DMAAddress(QueueRig.base))
    } else {
      try rig.client.mapMemory(rig.memory, at: DMAAddress(QueueRig.base))
    }
    try rig.disable()
    try rig.enable()
    let again = try rig.makePair(1, entryCount: 64)
    try rig.putReads(10, in: again)
    try rig.ring(again)
    #expect(try rig.reap(again, 10).count == 10)
    #expect(try rig.status & 3 == 1)
  }

  private func completions(of queue: DriverQueue, _ rig: QueueRig) throws -> Int {
    try (0..<queue.completionEntryCount).count {
      try rig.load64(queue.completions + $0 * 16 + 8) >> 48 & 1 == 1
    }
  }
}
