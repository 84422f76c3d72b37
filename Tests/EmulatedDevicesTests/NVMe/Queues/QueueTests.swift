import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("NVMe queues", .timeLimit(.minutes(10)), .serialized)
struct QueueTests {
  @Test(
    "E17: every command completes once, in order, with its queue, head and phase, over many laps",
    arguments: RigMode.allCases, [false, true])
  func wrapAround(mode: RigMode, shadow: Bool) throws {
    let rig = try mode.makeRig()
    if shadow { try rig.useShadowDoorbells() }
    let queue = try rig.makePair(1, entryCount: 7, completionEntryCount: 5)
    var expected: UInt16 = 0
    for round in 0..<40 {
      let count = round % 4 + 1
      try rig.putReads(count, in: queue)
      try rig.ring(queue)
      for entry in try rig.reap(queue, count) {
        #expect(entry.status.isSuccess)
        #expect(entry.submissionQueue == 1)
        #expect(entry.commandIdentifier == expected)
        expected += 1
        #expect(entry.submissionQueueHead < 7)
      }
    }
    #expect(try rig.next(queue) == nil)
  }

  @Test(
    "E17: completions without room wait for the head doorbell, and none is lost",
    arguments: RigMode.allCases, [false, true])
  func parked(mode: RigMode, shadow: Bool) throws {
    let rig = try mode.makeRig()
    if shadow { try rig.useShadowDoorbells() }
    let queue = try rig.makePair(1, entryCount: 64, completionEntryCount: 4)
    try rig.putReads(63, in: queue)
    try rig.ring(queue)
    // Three fit; what follows must not overwrite them.
    try rig.wait { try rig.memory.load64(at: queue.completions + 2 * 16 + 8) >> 48 & 1 == 1 }
    #expect(try rig.memory.load64(at: queue.completions + 3 * 16 + 8) == 0)
    var identifiers: [UInt16] = []
    while identifiers.count < 63 {
      identifiers += try rig.reap(queue, 1).map(\.commandIdentifier)
    }
    #expect(identifiers == Array(0..<63))
    // The queue works on.
    try rig.putReads(1, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 1)[0].commandIdentifier == 63)
  }

  @Test("E17: several submission queues share a completion queue", arguments: RigMode.allCases)
  func shared(mode: RigMode) throws {
    let rig = try mode.makeRig()
    let first = try rig.makePair(1, entryCount: 16, completionEntryCount: 64)
    let second = DriverQueue(
      identifier: 2, entryCount: 16, completions: 0, entries: rig.allocate(1024))
    second.completionIdentifier = 1
    try rig.makeSubmissionQueue(second)
    try rig.putReads(10, in: first)
    try rig.putReads(12, in: second)
    try rig.ring(first)
    try rig.ring(second)
    let entries = try rig.reap(first, 22)
    #expect(entries.filter { $0.submissionQueue == 1 }.map(\.commandIdentifier) == Array(0..<10))
    #expect(entries.filter { $0.submissionQueue == 2 }.map(\.commandIdentifier) == Array(0..<12))
    // A queue that is in use stays, and goes once it is not.
    #expect(try rig.run(.deleteCompletionQueue, 1).status ~= .invalidQueueDeletion)
    #expect(try rig.run(.deleteSubmissionQueue, 2).status.isSuccess)
    #expect(try rig.run(.deleteSubmissionQueue, 1).status.isSuccess)
    #expect(try rig.run(.deleteCompletionQueue, 1).status.isSuccess)
    #expect(try rig.run(.deleteCompletionQueue, 1).status ~= .invalidQueueIdentifier)
  }

  @Test(
    "E17: completions without room go with their submission queue; those of another one stay",
    arguments: RigMode.allCases)
  func parkedAndDeleted(mode: RigMode) throws {
    let rig = try mode.makeRig()
    let first = try rig.makePair(1, entryCount: 16, completionEntryCount: 4)
    let second = DriverQueue(
      identifier: 2, entryCount: 16, completions: 0, entries: rig.allocate(1024))
    second.completionIdentifier = 1
    try rig.makeSubmissionQueue(second)
    try rig.putReads(3, in: first)
    try rig.ring(first)
    try rig.wait { try rig.memory.load64(at: first.completions + 2 * 16 + 8) >> 48 & 1 == 1 }
    // The ring is full now.
    try rig.putReads(1, in: second)
    try rig.ring(second)
    try rig.settle()
    try rig.putReads(5, in: first)
    try rig.ring(first)
    try rig.settle()
    #expect(try rig.status(.deleteSubmissionQueue, 1) == .success)
    let entries = try rig.reap(first, 4)
    #expect(entries.map(\.submissionQueue) == [1, 1, 1, 2])
    #expect(try rig.settled(first).isEmpty)
    try rig.putReads(7, in: second)
    try rig.ring(second)
    #expect(!(try rig.reap(first, 7).contains { $0.submissionQueue != 2 }))
  }

  @Test("E17: 64 pairs of queues work side by side", arguments: RigMode.allCases)
  func many(mode: RigMode) throws {
    let rig = try mode.makeRig()
    let queues = try (1...64).map { try rig.makePair(UInt16($0), entryCount: 16) }
    for _ in 0..<2 {
      for queue in queues {
        try rig.putReads(9, in: queue)
        try rig.ring(queue)
      }
      for queue in queues {
        let entries = try rig.reap(queue, 9)
        #expect(!entries.contains { $0.submissionQueue != queue.identifier })
      }
    }
  }

  @Test("E17: a queue of 65,536 entries can be full")
  func largest() throws {
    let rig = try RigMode.trapped.makeRig(depth: 65_536)
    let queue = try rig.makePair(1, entryCount: 65_536)
    for count in [10, 65_535] {
      try rig.putReads(count, in: queue)
      try rig.ring(queue)
      let entries = try rig.reap(queue, count)
      #expect(!entries.contains { !$0.status.isSuccess })
    }
  }

  @Test(
    "E17: a wrong doorbell is an event, and the queue works on", arguments: RigMode.allCases,
    [false, true])
  func wrongDoorbells(mode: RigMode, shadow: Bool) throws {
    let rig = try mode.makeRig()
    if shadow { try rig.useShadowDoorbells() }
    let queue = try rig.makePair(1, entryCount: 8)
    var request = SubmissionQueueEntry()
    request.opcode = AdminOpcode.asynchronousEventRequest.rawValue
    try rig.put(request, in: rig.admin)
    try rig.ring(rig.admin)
    if let shadow = rig.shadow {
      try rig.memory.store32(8, at: shadow.values + 8)
      if !mode.isPolling {
        try rig.registers.write(UInt32(1), at: RegionOffset(0x1008))
      }
    } else {
      try rig.registers.write(UInt32(8), at: RegionOffset(0x1008))
    }
    let event = try rig.reap(rig.admin, 1)[0]
    #expect(event.result & 0xff07 == 0x0100)
    try rig.putReads(3, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 3).count == 3)
  }
}
