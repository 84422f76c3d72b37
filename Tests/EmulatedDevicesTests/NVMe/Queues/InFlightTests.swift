import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// Resets, shutdowns and the bus, while a storage takes its time.
@Suite("NVMe commands in flight", .timeLimit(.minutes(10)), .serialized)
struct InFlightTests {
  private static let modes: [RigMode] = [.trapped, .polled, .threads, .messages]

  /// A controller with reads of 8 blocks that its storage holds back.
  private func makeRig(
    _ mode: RigMode, _ count: Int = 40
  ) throws -> (NVMeRig, DriverQueue, ProbeStorage) {
    let storage = try ProbeStorage(.held)
    let rig = try mode.makeRig(storages: [storage])
    let queue = try rig.makePair(1, entryCount: 64)
    let page = rig.address(rig.allocate(4096))
    for _ in 0..<count {
      try rig.put(SubmissionQueueEntry(.read, count: 8, prp1: page), in: queue)
    }
    try rig.ring(queue)
    try rig.wait { storage.heldCount == count }
    return (rig, queue, storage)
  }

  /// Whether a new queue pair works, in a controller that is enabled.
  private func expectWorking(_ rig: NVMeRig) throws {
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.putReads(60, in: queue)
    try rig.ring(queue)
    #expect(!(try rig.reap(queue, 60).contains { !$0.status.isSuccess }))
    #expect(try !rig.status.isFatal)
  }

  /// Nothing is written to guest memory any more.
  private func expectQuiet(_ rig: NVMeRig) throws {
    let image = [UInt8](repeating: 0xa5, count: 1 << 20)
    try rig.write(image, 0)
    try rig.settle()
    #expect(try rig.bytes(0, image.count) == image)
    // As the rig's queues expect it.
    try rig.write([UInt8](repeating: 0, count: image.count), 0)
  }

  @Test(
    "E9: the controller stays ready until the last command has ended; nothing completes after that",
    arguments: modes)
  func disable(mode: RigMode) throws {
    let (rig, queue, storage) = try makeRig(mode)
    try rig.startDisable()
    try rig.settle()
    #expect(try rig.status.isReady)
    storage.release()
    try rig.wait { try !rig.status.isReady }
    #expect(try rig.settled(queue).isEmpty)
    try expectQuiet(rig)
    try rig.enable()
    try expectWorking(rig)
  }

  @Test("E9: a controller that is enabled before it is disabled comes back", arguments: modes)
  func enableWhileDisabling(mode: RigMode) throws {
    let (rig, queue, storage) = try makeRig(mode)
    try rig.startDisable()
    try rig.startEnable()
    try rig.settle()
    storage.release()
    // Ready throughout, or again: only an answer shows that it is the new one.
    try rig.submit(.getFeatures, 7)
    try rig.wait {
      try rig.ring(rig.admin)
      return try !rig.settled(rig.admin).isEmpty
    }
    #expect(try rig.settled(queue).isEmpty)
    try expectWorking(rig)
  }

  @Test("E9: a subsystem reset waits for what is in flight, too", arguments: modes)
  func subsystemReset(mode: RigMode) throws {
    let (rig, queue, storage) = try makeRig(mode)
    try rig.store(0x4e56_4d65, ControllerRegisterOffset.subsystemReset)
    try rig.settle()
    storage.release()
    try rig.wait { try !rig.status.isReady }
    #expect(try rig.settled(queue).isEmpty)
    #expect(try rig.status.subsystemResetOccurred)
    try rig.enable()
    try expectWorking(rig)
  }

  @Test("E9: a function-level reset is answered once nothing is in flight", arguments: modes)
  func functionReset(mode: RigMode) throws {
    let (rig, queue, storage) = try makeRig(mode)
    let configuration = try rig.client.region(at: PCIRegionIndex.configurationSpace)
    var place: UInt8 = try configuration.read(at: RegionOffset(0x34))
    while place != 0, try configuration.read(at: RegionOffset(UInt64(place))) as UInt8 != 0x10 {
      place = try configuration.read(at: RegionOffset(UInt64(place) + 1))
    }
    try #require(place != 0)
    // Device Control: Initiate Function Level Reset.
    let reset: [UInt8] = [0, 0x80]
    let pending = try configuration.startWrite(
      at: RegionOffset(UInt64(place) + 8), from: reset.rawSpan)
    storage.release(whenBusIsOff: true)
    try rig.client.finishWrite(pending)
    #expect(try !rig.status.isReady)
    #expect(try rig.settled(queue).isEmpty)
    try expectQuiet(rig)
    try rig.setCommand(6)
    try rig.enable()
    try expectWorking(rig)
  }

  @Test(
    "E2: a shutdown lets commands end; a normal one flushes behind them",
    arguments: modes, [1, 2] as [UInt32])
  func shutdown(mode: RigMode, notification: UInt32) throws {
    let (rig, queue, storage) = try makeRig(mode)
    try rig.store(
      NVMeRig.usualConfiguration | 1 | notification << 14,
      ControllerRegisterOffset.configuration)
    try rig.settle()
    #expect(try rig.status.shutdown == .occurring)
    storage.release()
    try rig.wait { try rig.status.shutdown == .complete }
    #expect(try rig.reap(queue, 40).count == 40)
    #expect(
      storage.requests.map(\.operation)
        == Array(repeating: .read, count: 40) + (notification == 1 ? [.flush] : []))
    // Nothing more is fetched.
    try rig.putReads(1, in: queue)
    try rig.ring(queue)
    #expect(try rig.settled(queue).isEmpty)
    try rig.disable()
    try rig.enable()
    #expect(try rig.status.shutdown == ControllerStatus.Shutdown.none)
    try expectWorking(rig)
  }

  @Test("E9: however often a driver asks for a shutdown while commands are in flight, there is one")
  func shutDownAgainAndAgain() throws {
    let (rig, queue, storage) = try makeRig(.trapped)
    for _ in 0..<50_000 {
      for notification: UInt32 in [1, 2] {
        try rig.registers.post(
          UInt32(0x0046_0001) | notification << 14,
          at: RegionOffset(ControllerRegisterOffset.configuration))
      }
    }
    #expect(try rig.status.shutdown == .occurring)
    storage.release()
    try rig.wait { try rig.status.shutdown == .complete }
    #expect(try rig.reap(queue, 40).count == 40)
  }

  @Test("E9: a submission queue is deleted when its commands have ended", arguments: modes)
  func deleteQueue(mode: RigMode) throws {
    let (rig, queue, storage) = try makeRig(mode)
    let delete = try rig.submit(.deleteSubmissionQueue, 1)
    #expect(try rig.settled(rig.admin).isEmpty)
    // Until then its number is taken, and its completion queue in use.
    #expect(try rig.status(.deleteCompletionQueue, 1) == .invalidQueueDeletion)
    #expect(try rig.status(.deleteSubmissionQueue, 1) == .invalidQueueIdentifier)
    // Other admin commands do not wait for it.
    let other = try rig.submit(.getFeatures, 7)
    #expect(try rig.reap(rig.admin, 1)[0].commandIdentifier == other)
    storage.release()
    let deleted = try rig.reap(rig.admin, 1)[0]
    #expect(deleted.commandIdentifier == delete && deleted.status == .success)
    #expect(try rig.reap(queue, 40).count == 40)
    #expect(try rig.status(.deleteCompletionQueue, 1) == .success)
    try expectWorking(rig)
  }

  @Test(
    "E5: commands that end while bus mastering is off are told of once it is on",
    arguments: modes)
  func busMaster(mode: RigMode) throws {
    let storage = try ProbeStorage(.held)
    let rig = try mode.makeRig(storages: [storage])
    let queue = try rig.makePair(1, entryCount: 64)
    for _ in 0..<10 { try rig.put(SubmissionQueueEntry(.writeZeroes), in: queue) }
    try rig.ring(queue)
    try rig.wait { storage.heldCount == 10 }
    let off: [UInt8] = [2, 0]
    let pending = try rig.client.region(at: PCIRegionIndex.configurationSpace)
      .startWrite(at: RegionOffset(4), from: off.rawSpan)
    storage.release(whenBusIsOff: true)
    try rig.client.finishWrite(pending)
    #expect(try rig.settled(queue).isEmpty)
    try rig.setCommand(6)
    #expect(!(try rig.reap(queue, 10).contains { $0.status != .success }))
    #expect(try !rig.status.isFatal)
  }

  @Test("E5: a format that ends while bus mastering is off is told of once it is on")
  func formatWithoutBus() throws {
    let storage = try ProbeStorage(.held)
    let rig = try NVMeRig(storages: [storage])
    try rig.submit(.formatNVM, namespace: 1, 1)
    try rig.wait { storage.heldCount == 1 }
    try rig.setCommand(2)
    storage.release()
    #expect(try rig.settled(rig.admin).isEmpty)
    try rig.setCommand(6)
    #expect(try rig.reap(rig.admin, 1)[0].status == .success)
    #expect(try !rig.status.isFatal)
  }

  @Test("E9: a format that a reset overtakes is not told of, and ends all the same")
  func formatOvertaken() throws {
    let storage = try ProbeStorage(.held)
    let rig = try NVMeRig(storages: [storage])
    try rig.submit(.formatNVM, namespace: 1, 1)
    try rig.wait { storage.heldCount == 1 }
    let old = rig.admin
    try rig.disable()
    try rig.enable()
    #expect(try rig.status(.read) == .formatInProgress)
    #expect(try rig.status(.formatNVM, namespace: 1, 0) == .formatInProgress)
    storage.release()
    try rig.wait { try rig.status(.read) == .success }
    #expect(try rig.settled(old).isEmpty)
    #expect(IdentifyNamespace(try rig.identify(0, namespace: 1)).blockByteCount == 4096)
  }

  @Test("E9: commands wait for a format, and are carried out after it", arguments: modes)
  func format(mode: RigMode) throws {
    let storage = try ProbeStorage(.held)
    let rig = try mode.makeRig(storages: [storage])
    let queue = try rig.makePair(1, entryCount: 64)
    let format = try rig.submit(.formatNVM, namespace: 1, 0)
    try rig.wait { storage.heldCount == 1 }
    try rig.putReads(5, in: queue)
    try rig.ring(queue)
    #expect(try rig.settled(queue).isEmpty)
    storage.release()
    #expect(try rig.reap(rig.admin, 1)[0].commandIdentifier == format)
    #expect(!(try rig.reap(queue, 5).contains { $0.status != .success }))
  }

  @Test("E9: a format waits for commands in flight", arguments: modes)
  func formatWaits(mode: RigMode) throws {
    let (rig, queue, storage) = try makeRig(mode, 20)
    try rig.submit(.formatNVM, namespace: 1, 0)
    try rig.settle()
    #expect(storage.heldCount == 20)
    storage.release()
    #expect(try rig.reap(rig.admin, 1)[0].status == .success)
    #expect(!(try rig.reap(queue, 20).contains { $0.status != .success }))
    #expect(storage.requests.last?.operation == .discard)
  }

  @Test("E2: 8,191 commands of one queue are in flight at once", arguments: [1, 4])
  func deep(queueCount: Int) throws {
    let storage = try ProbeStorage(.held)
    let rig = try NVMeRig("queue-depth=8192", storages: [storage])
    let queues = try (1...queueCount).map { try rig.makePair(UInt16($0), entryCount: 8192) }
    let each = queueCount == 1 ? 8191 : 4000
    for queue in queues {
      try rig.putReads(each, in: queue)
      try rig.ring(queue)
    }
    try rig.wait { storage.heldCount == each * queueCount }
    storage.release()
    for queue in queues {
      let entries = try rig.reap(queue, each)
      #expect(Set(entries.map(\.commandIdentifier)).count == each)
      #expect(!entries.contains { $0.status != .success })
    }
  }
}
