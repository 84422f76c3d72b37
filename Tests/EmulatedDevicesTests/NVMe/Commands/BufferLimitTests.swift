import BlockStorage
import NVMe
import Testing

@testable import EmulatedDevices
@testable import VFIOUser

/// Data that cannot move directly goes through memory of ours, of which there is only so much.
@Suite("nvme: memory of our own", .timeLimit(.minutes(10)), .serialized)
struct BufferLimitTests {
  /// Commands of 1 MiB.
  private static let blockCount = 2048
  private static let commandCount = 48
  private static let limit = CommandExecutor.bufferLimit >> 20

  /// Reads or writes of 1 MiB each, all over the same memory of the guest.
  private func put(_ opcode: IOOpcode, _ rig: NVMeRig, _ queue: DriverQueue) throws -> PRPLayout {
    let byteCount = Self.blockCount * 512
    let layout = try PRPLayout(
      rig, arena: rig.allocate(PRPLayout.arenaByteCount(byteCount)), byteCount: byteCount)
    let entry = SubmissionQueueEntry(
      opcode, count: Self.blockCount, prp1: layout.prp1, prp2: layout.prp2)
    for _ in 0..<Self.commandCount { try rig.put(entry, in: queue) }
    return layout
  }

  @Test(
    "E4: a client that maps no memory, and a deep queue: commands wait for memory, and none fails",
    arguments: [IOOpcode.read, .write])
  func bounded(opcode: IOOpcode) throws {
    let storage = try ProbeStorage(byteCount: 1 << 20, .heldInBuffers)
    let rig = try NVMeRig(storages: [storage], isMapped: false)
    let queue = try rig.makePair(1, entryCount: 128)
    _ = try put(opcode, rig, queue)
    try rig.ring(queue)
    try rig.wait { storage.heldCount == Self.limit }
    // The admin queue is served meanwhile.
    for _ in 0..<8 { #expect(try rig.status(.getFeatures, 7) == .success) }
    #expect(storage.mostHeldCount == Self.limit)
    storage.release()
    let ends = try rig.reap(queue, Self.commandCount)
    #expect(ends.allSatisfy { $0.status == .success })
    #expect(storage.mostHeldCount == Self.limit)
  }

  @Test("E9: a reset ends commands that wait for memory")
  func reset() throws {
    let storage = try ProbeStorage(byteCount: 1 << 20, .heldInBuffers)
    let rig = try NVMeRig(storages: [storage], isMapped: false)
    let queue = try rig.makePair(1, entryCount: 128)
    _ = try put(.read, rig, queue)
    try rig.ring(queue)
    try rig.wait { storage.heldCount == Self.limit }
    try rig.startDisable()
    storage.release()
    try rig.wait { try !rig.status.isReady }
    try rig.enable()
    #expect(try rig.status(.read) == .success)
    #expect(storage.mostHeldCount == Self.limit)
  }

  @Test("E4: steps of commands count as well")
  func steps() throws {
    let storage = try ProbeStorage(byteCount: 1 << 20, .held)
    let rig = try NVMeRig(storages: [storage])
    let queue = try rig.makePair(1, entryCount: 1024)
    let entry = SubmissionQueueEntry(.verify, count: Self.blockCount)
    for _ in 0..<1000 { try rig.put(entry, in: queue) }
    try rig.ring(queue)
    // Each has a buffer of 128 KiB.
    try rig.wait { storage.heldCount == Self.limit * 8 }
    #expect(try rig.settled(queue).isEmpty)
    storage.release()
    #expect(try rig.reap(queue, 1000).allSatisfy { $0.status == .success })
    #expect(storage.mostHeldCount == Self.limit * 8)
  }

  @Test("E4: what was read through memory of ours is what the file holds")
  func contents() throws {
    let byteCount = Self.blockCount * 512
    let file = try TemporaryFile(byteCount: byteCount)
    let rig = try NVMeRig(storages: [FileStorage(path: file.path)], isMapped: false)
    let queue = try rig.makePair(1, entryCount: 128)
    let written = try put(.write, rig, queue)
    let data = Pattern.bytes(byteCount)
    try written.scatter(data, rig)
    try rig.ring(queue)
    #expect(try rig.reap(queue, Self.commandCount).allSatisfy { $0.status == .success })
    let read = try put(.read, rig, queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, Self.commandCount).allSatisfy { $0.status == .success })
    #expect(try read.gather(rig) == data)
  }
}
