import NVMe
import Testing

@testable import VFIOUser

/// Queues whose memory is not all there, or not in one piece.
@Suite("NVMe queue memory", .timeLimit(.minutes(10)), .serialized)
struct QueueMemoryTests {
  private static let address: UInt64 = 0x9000_0000

  /// A pair whose rings lie at addresses of the test's own.
  private func makePair(
    _ rig: NVMeRig, _ identifier: UInt32 = 1, entryCount: Int, submission: UInt64,
    completion: UInt64
  ) throws {
    let size = UInt32(entryCount - 1) << 16 | identifier
    #expect(try rig.status(.createCompletionQueue, prp1: completion, size, 1) == .success)
    #expect(
      try rig.status(.createSubmissionQueue, prp1: submission, size, identifier << 16 | 1)
        == .success)
  }

  /// After a reset the controller works.
  private func expectMended(_ rig: NVMeRig) throws {
    #expect(try rig.status.isReady)
    try rig.disable()
    #expect(try !rig.status.isFatal)
    try rig.enable()
    let queue = try rig.makePair(1, entryCount: 64)
    try rig.putReads(60, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 60).count == 60)
    #expect(try !rig.status.isFatal)
  }

  private static let modes: [RigMode] = [.trapped, .polled, .threads, .messages]

  @Test("E2: a submission queue that cannot be read is fatal", arguments: modes)
  func unreadable(mode: RigMode) throws {
    let rig = try mode.makeRig()
    try makePair(
      rig, entryCount: 64, submission: Self.address, completion: rig.address(rig.allocate(4096)))
    try rig.store(1, ControllerRegisterOffset.submissionQueueTail(1))
    try rig.wait { try rig.status.isFatal }
    // The admin queue is there still.
    #expect(try rig.status(.getFeatures, 7) == .success)
    try expectMended(rig)
  }

  @Test("E2: a completion queue that cannot be written is fatal", arguments: modes, [true, false])
  func unwritable(mode: RigMode, isReadable: Bool) throws {
    let rig = try mode.makeRig()
    let memory = try SharedMemory(byteCount: 4096)
    if isReadable {
      try rig.client.mapMemory(memory, at: DMAAddress(Self.address), rights: .read)
    }
    let entries = rig.allocate(4096)
    try makePair(
      rig, entryCount: 64, submission: rig.address(entries), completion: Self.address)
    let entry = SubmissionQueueEntry(.flush)
    for word in 0..<8 { try rig.memory.store64(entry.words[word], at: entries + word * 8) }
    try rig.store(1, ControllerRegisterOffset.submissionQueueTail(1))
    try rig.wait { try rig.status.isFatal }
    try expectMended(rig)
  }

  @Test("E2: an admin completion queue that cannot be written is fatal")
  func adminUnwritable() throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.startEnable()
    try rig.disable()
    try rig.registers.write(
      Self.address, at: RegionOffset(ControllerRegisterOffset.adminCompletionQueue))
    try rig.store(
      NVMeRig.usualConfiguration | 1, ControllerRegisterOffset.configuration)
    try rig.wait { try rig.status.isReady }
    try rig.submit(.getFeatures, 7)
    try rig.wait { try rig.status.isFatal }
    try expectMended(rig)
  }

  @Test("E4: rings and data may lie across grants", arguments: [RigMode.trapped, .threads])
  func acrossGrants(mode: RigMode) throws {
    let storage = try ProbeStorage()
    let rig = try mode.makeRig(storages: [storage])
    // Pages that follow each other for the device, each a grant of its own.
    let pages = try (0..<4).map { _ in try SharedMemory(byteCount: 4096) }
    for (index, page) in pages.enumerated() {
      try rig.client.mapMemory(page, at: DMAAddress(Self.address + UInt64(index) * 4096))
    }
    // 128 entries of 64 bytes, and 512 of 16: two pages each.
    #expect(
      try rig.status(.createCompletionQueue, prp1: Self.address, 511 << 16 | 1, 1) == .success)
    #expect(
      try rig.status(
        .createSubmissionQueue, prp1: Self.address + 8192, 127 << 16 | 1, 1 << 16 | 1) == .success)
    storage.fill(Pattern.bytes(8192))
    let data = rig.allocate(8192)
    for index in 0..<600 {
      var entry = SubmissionQueueEntry(
        .read, count: 16, prp1: rig.address(data), prp2: rig.address(data) + 4096)
      entry.commandIdentifier = UInt16(index)
      let place = index % 128 * 64
      for word in 0..<8 {
        try pages[2 + place / 4096].store64(entry.words[word], at: place % 4096 + word * 8)
      }
      try rig.store(
        UInt32((index + 1) % 128), ControllerRegisterOffset.submissionQueueTail(1))
      let (completion, lap) = (index % 512 * 16, index / 512)
      var high: UInt64 = 0
      try rig.wait {
        high = try pages[completion / 4096].load64(at: completion % 4096 + 8)
        return high >> 48 & 1 == (lap == 0 ? 1 : 0)
      }
      let end = CompletionQueueEntry(low: 0, high: high)
      #expect(end.commandIdentifier == UInt16(index) && end.status == .success)
      try rig.store(
        UInt32((index + 1) % 512), ControllerRegisterOffset.completionQueueHead(1))
    }
    #expect(try rig.bytes(data, 8192) == Pattern.bytes(8192))
    // A page of the data in each of two grants.
    #expect(try rig.status(.deleteSubmissionQueue, 1) == .success)
    #expect(try rig.status(.deleteCompletionQueue, 1) == .success)
    for page in pages { try page.write(at: 0, from: Pattern.bytes(4096, seed: 9).rawSpan) }
    #expect(
      try rig.status(.write, count: 15, prp1: Self.address + 512, prp2: Self.address + 4096)
        == .success)
    #expect(
      storage.contents(7680)
        == Pattern.bytes(3584, seed: 9 + 512) + Pattern.bytes(4096, seed: 9))
  }

  @Test("E17: a ring that is there in part serves that part, and is fatal where it ends")
  func partly() throws {
    let rig = try NVMeRig()
    let page = try SharedMemory(byteCount: 4096)
    try rig.client.mapMemory(page, at: DMAAddress(Self.address))
    let completions = rig.allocate(4096)
    // 128 entries, of which the first 64 are there.
    try makePair(
      rig, entryCount: 128, submission: Self.address, completion: rig.address(completions))
    var entry = SubmissionQueueEntry(.flush)
    for index in 0..<64 {
      entry.commandIdentifier = UInt16(index)
      for word in 0..<8 { try page.store64(entry.words[word], at: index * 64 + word * 8) }
    }
    try rig.store(64, ControllerRegisterOffset.submissionQueueTail(1))
    try rig.wait { try rig.memory.load64(at: completions + 63 * 16 + 8) >> 48 & 1 == 1 }
    #expect(try !rig.status.isFatal)
    try rig.store(65, ControllerRegisterOffset.submissionQueueTail(1))
    try rig.wait { try rig.status.isFatal }
    try expectMended(rig)
  }

  @Test("E2: with pages of 64 KiB queues begin at one")
  func largePages() throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.enable(NVMeRig.usualConfiguration | 4 << 7)
    let page = rig.address(rig.allocate(65_536, pageByteCount: 65_536))
    for misalignment in [4096, 32_768] as [UInt64] {
      #expect(
        try rig.status(.createCompletionQueue, prp1: page + misalignment, 63 << 16 | 1, 1)
          == .invalidPRPOffset)
    }
    let queue = try rig.makePair(1, entryCount: 1024, pageByteCount: 65_536)
    try rig.putReads(1000, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 1000).count == 1000)
  }

  @Test("E2: the smallest and the largest admin queues work", arguments: [2, 4096])
  func adminSizes(entryCount: Int) throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.enable(adminEntryCount: entryCount)
    for _ in 0..<(entryCount == 2 ? 20 : 4200) {
      #expect(try rig.run(.getFeatures, 7).status == .success)
    }
  }
}
