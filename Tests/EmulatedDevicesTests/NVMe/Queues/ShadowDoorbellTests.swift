import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("NVMe shadow doorbells", .timeLimit(.minutes(10)), .serialized)
struct ShadowDoorbellTests {
  @Test(
    "E17: no wake-up is lost, however many commands come at once",
    arguments: [RigMode.trapped, .trappedAdaptive, .threads, .messages])
  func bursts(mode: RigMode) throws {
    let rig = try mode.makeRig()
    try rig.useShadowDoorbells()
    let queue = try rig.makePair(1, entryCount: 256)
    // Among them exactly what one turn fetches, and its neighbours.
    for count in [1, 64, 1, 63, 1, 65, 1, 128, 1, 4, 1, 8, 1] {
      try rig.putReads(count, in: queue)
      try rig.ring(queue)
      #expect(try rig.reap(queue, count).count == count)
    }
  }

  @Test(
    "E17: a queue that was held up by a full completion queue asks for the next ring again",
    arguments: [RigMode.trapped, .trappedAdaptive, .threads, .messages])
  func afterParking(mode: RigMode) throws {
    let rig = try mode.makeRig()
    try rig.useShadowDoorbells()
    let queue = try rig.makePair(1, entryCount: 64, completionEntryCount: 4)
    for count in [4, 1, 5, 3, 8, 1, 33, 1] {
      try rig.putReads(count, in: queue)
      try rig.ring(queue)
      #expect(try rig.reap(queue, count).count == count)
    }
  }

  @Test(
    "E17: a new queue starts from nothing, whatever an earlier one of its number left behind",
    arguments: [false, true], RigMode.allCases)
  func again(wipe: Bool, mode: RigMode) throws {
    let rig = try mode.makeRig()
    try rig.useShadowDoorbells()
    for round in 1..<3 {
      let queue = try rig.makePair(1, entryCount: 64)
      try rig.putReads(11 * round, in: queue)
      try rig.ring(queue)
      #expect(try rig.reap(queue, 11 * round).count == 11 * round)
      #expect(try rig.run(.deleteSubmissionQueue, 1).status.isSuccess)
      #expect(try rig.run(.deleteCompletionQueue, 1).status.isSuccess)
      if wipe, let shadow = rig.shadow { try rig.memory.store64(0, at: shadow.values + 8) }
    }
  }

  @Test("E17: a loop that always looks is hardly ever rung", arguments: [RigMode.polled])
  func silent(mode: RigMode) throws {
    let rig = try mode.makeRig()
    try rig.useShadowDoorbells()
    let queue = try rig.makePair(1, entryCount: 256)
    rig.ringCount = 0
    for _ in 0..<60 {
      try rig.putReads(1, in: queue)
      try rig.ring(queue)
      _ = try rig.reap(queue, 1)
    }
    #expect(rig.ringCount <= 2)
  }
}
