import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("NVMe queues under resets", .timeLimit(.minutes(10)), .serialized)
struct QueueResetTests {
  @Test(
    "E9: after a controller reset under load nothing completes late, and queues work again",
    arguments: RigMode.allCases, [false, true])
  func controllerReset(mode: RigMode, shadow: Bool) throws {
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

  @Test("E10: a device reset under load leaves a device that works", arguments: RigMode.allCases)
  func deviceReset(mode: RigMode) throws {
    let rig = try mode.makeRig()
    for _ in 0..<5 {
      let queues = try (1...4).map { try rig.makePair(UInt16($0), entryCount: 64) }
      for queue in queues {
        try rig.putReads(60, in: queue)
        try rig.ring(queue)
      }
      try rig.client.reset()
      #expect(try !rig.status.isReady)
      try rig.setCommand(6)
      try rig.enable()
    }
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.putReads(60, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 60).count == 60)
  }

  @Test(
    "E9: with bus mastering off commands wait, and go on afterwards", arguments: RigMode.allCases)
  func busMaster(mode: RigMode) throws {
    let rig = try mode.makeRig()
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.setCommand(2)
    try rig.putReads(20, in: queue)
    try rig.ring(queue)
    #expect(try rig.settled(queue).isEmpty)
    try rig.setCommand(6)
    #expect(try rig.reap(queue, 20).count == 20)
    #expect(try rig.status.isReady && !rig.status.isFatal)
  }

  @Test(
    "E2: a queue whose memory is taken away is fatal, and a reset mends it",
    arguments: RigMode.allCases)
  func unmapped(mode: RigMode) throws {
    let rig = try mode.makeRig()
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.putReads(1, in: queue)
    try rig.revokeMemory()
    try rig.ring(queue)
    try rig.wait { try rig.status.isFatal }
    try rig.grantMemory()
    try rig.disable()
    try rig.enable()
    let again = try rig.makePair(1, entryCount: 64)
    try rig.putReads(10, in: again)
    try rig.ring(again)
    #expect(try rig.reap(again, 10).count == 10)
    #expect(try rig.status.isReady && !rig.status.isFatal)
  }

  private func completions(of queue: DriverQueue, _ rig: NVMeRig) throws -> Int {
    try (0..<queue.completionEntryCount).count {
      try rig.memory.load64(at: queue.completions + $0 * 16 + 8) >> 48 & 1 == 1
    }
  }
}
