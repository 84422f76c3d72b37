import BlockStorage
import NVMe
import Testing

@testable import VFIOUser

/// Dataset Management and Copy.
@Suite("NVMe ranges of blocks", .timeLimit(.minutes(10)), .serialized)
struct DatasetTests {
  private static let behaviours: [ProbeStorage.Behaviour] = [.immediate, .deferred]

  /// Dataset Management for ranges that `change` can add to; attribute 4 is Deallocate.
  private func manage(
    _ rig: NVMeRig, _ ranges: [(block: UInt64, count: UInt64)], attributes: UInt32 = 4
  ) throws -> NVMeStatus {
    try rig.write(
      words: ranges.flatMap { [$0.count << 32 | 0xffff, $0.block] }, NVMeRig.dataPlace)
    return try rig.status(.datasetManagement) {
      $0.dword10 = UInt32(ranges.count - 1)
      $0.dword11 = attributes
      $0.words[6] = 0
    }
  }

  @Test("E2: Deallocate gives ranges back in order; they read as zeros", arguments: behaviours)
  func deallocate(behaviour: ProbeStorage.Behaviour) throws {
    let storage = try ProbeStorage(behaviour)
    let rig = try NVMeRig(storages: [storage])
    var image = Pattern.bytes(1 << 20)
    storage.fill(image)
    let ranges: [(UInt64, UInt64)] = [(8, 8), (100, 0), (2047, 1), (2048, 0), (64, 128)]
    #expect(try manage(rig, ranges) == .success)
    for (block, count) in ranges {
      for place in Int(block * 512)..<Int((block + count) * 512) { image[place] = 0 }
    }
    #expect(storage.contents(1 << 20) == image)
    #expect(
      storage.requests.map { [$0.byteOffset, UInt64($0.byteCount)] }
        == ranges.filter { $0.1 > 0 }.map { [$0.0 * 512, $0.1 * 512] })
    #expect(storage.requests.allSatisfy { $0.operation == .discard } as Bool)
  }

  @Test("E2: 256 ranges are taken; hints other than Deallocate change nothing")
  func manyRanges() throws {
    let storage = try ProbeStorage()
    let rig = try NVMeRig(storages: [storage])
    let ranges = (0..<256).map { (block: UInt64($0 * 8), count: 3 as UInt64) }
    #expect(try manage(rig, ranges, attributes: 3) == .success)
    #expect(storage.requests.isEmpty)
    #expect(try manage(rig, ranges) == .success)
    #expect(storage.requests.map(\.byteOffset) == ranges.map { $0.block * 512 })
  }

  @Test("E2: a storage that gives nothing back keeps its data, and its uncorrectable blocks")
  func noDiscard() throws {
    let storage = try ProbeStorage { $0.canDiscard = false }
    let rig = try NVMeRig(storages: [storage])
    storage.fill(Pattern.bytes(4096))
    #expect(try rig.status(.writeUncorrectable, block: 1) == .success)
    #expect(try manage(rig, [(0, 8)]) == .success)
    #expect(storage.contents(4096) == Pattern.bytes(4096))
    #expect(try rig.status(.read, block: 1) == .unrecoveredReadError)
    #expect(IdentifyNamespace(try rig.identify(0, namespace: 1)).deallocateFeatures & 7 == 0)
  }

  @Test(
    "E17: one range that does not exist, and nothing is given back",
    arguments: [
      (2048, 1), (2049, 0), (2047, 2), (0, 2049), (0, 0xffff_ffff), (UInt64.max, 1),
      (UInt64.max, 0), (UInt64.max, 0xffff_ffff), (1 << 55, 1),
    ] as [(UInt64, UInt64)])
  func badRange(block: UInt64, count: UInt64) throws {
    let storage = try ProbeStorage()
    let rig = try NVMeRig(storages: [storage])
    #expect(try manage(rig, [(0, 8), (block, count), (16, 8)]) == .blockOutOfRange)
    #expect(try rig.lastError.block == block)
    #expect(storage.requests.isEmpty)
  }

  @Test("E17: ranges nowhere in memory cannot be read", arguments: [true, false])
  func unreachable(isMapped: Bool) throws {
    let rig = try NVMeRig(isMapped: isMapped)
    for opcode in [IOOpcode.datasetManagement, .copy] {
      #expect(
        try rig.status(opcode, prp1: 0x7000_0000) {
          $0.words[5] = 4 << 32
          $0.words[6] = 0
        } == .dataTransferError)
    }
  }

  // MARK: Copy

  /// Copies `sources` to `target`.
  private func copy(
    _ rig: NVMeRig, _ sources: [(block: UInt64, count: Int)], to target: UInt64,
    _ bits: UInt32 = 0
  ) throws -> CompletionQueueEntry {
    let layout = try PRPLayout(rig, arena: 0x10_0000, byteCount: sources.count * 32)
    let words: [UInt64] = sources.flatMap { [0, $0.block, UInt64($0.count - 1), 0] }
    let bytes: [UInt8] = words.flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
    }
    try layout.scatter(bytes, rig)
    var entry = SubmissionQueueEntry(
      .copy, block: target, prp1: layout.prp1, prp2: layout.prp2)
    entry.dword12 = UInt32(sources.count - 1) | bits
    return try rig.run(entry)
  }

  private func makeRig(
    _ behaviour: ProbeStorage.Behaviour = .immediate, byteCount: UInt64 = 4 << 20
  ) throws -> (NVMeRig, ProbeStorage) {
    let storage = try ProbeStorage(byteCount: byteCount, behaviour)
    let rig = try NVMeRig(storages: [storage])
    _ = try rig.commandQueue()
    _ = rig.allocate(2 << 20)
    return (rig, storage)
  }

  @Test("E2: Copy puts its sources behind each other", arguments: behaviours)
  func copies(behaviour: ProbeStorage.Behaviour) throws {
    let (rig, storage) = try makeRig(behaviour)
    var image = Pattern.bytes(4 << 20)
    storage.fill(image)
    let sources: [(block: UInt64, count: Int)] = [(100, 3), (0, 1), (4096, 700), (50, 1)]
    #expect(try copy(rig, sources, to: 1000).status == .success)
    var target = 512_000
    for (block, count) in sources {
      let bytes = Pattern.bytes(count * 512, seed: Int(block) * 512)
      image.replaceSubrange(target..<(target + bytes.count), with: bytes)
      target += bytes.count
    }
    #expect(storage.contents(4 << 20) == image)
    #expect(!storage.requests.contains { $0.isDurable })
    storage.forgetRequests()
    // With FUA.
    #expect(try copy(rig, [(100, 3)], to: 0, 1 << 30).status == .success)
    #expect(storage.requests.map(\.isDurable) == [false, true])
  }

  @Test("E2: Copy takes as many ranges and blocks as Identify says, and no more")
  func copyLimits() throws {
    let (rig, storage) = try makeRig(byteCount: 32 << 20)
    let limits = IdentifyNamespace(try rig.identify(0, namespace: 1))
    let longest = Int(limits.maximumSourceRangeLength)
    let most = Int(limits.maximumCopyLength)
    let ranges = Int(limits.maximumSourceRangeCount) + 1
    #expect(longest == 4096 && most == 16_384 && ranges == 128)
    let whole = (0..<4).map { (block: UInt64($0 * longest), count: longest) }
    #expect(try copy(rig, whole, to: 20_000).status == .success)
    #expect(
      try copy(rig, Array(repeating: (0, 1), count: ranges), to: 20_000).status == .success)
    storage.forgetRequests()
    for sources in [
      [(block: 0, count: longest + 1)], whole + [(block: 20_000, count: 1)],
      Array(repeating: (block: 0, count: 1), count: ranges + 1),
    ] as [[(block: UInt64, count: Int)]] {
      #expect(
        rig.checked(try copy(rig, sources, to: 40_000).status) == .commandSizeLimitExceeded)
    }
    #expect(storage.requests.isEmpty)
  }

  @Test("E17: Copy from or to blocks that do not exist, or onto itself, moves nothing")
  func badCopies() throws {
    let (rig, storage) = try makeRig()
    typealias Case = (sources: [(block: UInt64, count: Int)], target: UInt64, status: NVMeStatus)
    for (sources, target, status) in [
      ([(8191, 2)], 0, .blockOutOfRange), ([(8192, 1)], 0, .blockOutOfRange),
      ([(0, 1), (UInt64.max, 1)], 10, .blockOutOfRange), ([(0, 1)], 8192, .blockOutOfRange),
      ([(0, 1), (5, 1)], 8191, .blockOutOfRange), ([(0, 2)], UInt64.max, .blockOutOfRange),
      ([(0, 8)], 7, .invalidField), ([(100, 1), (8, 8)], 15, .invalidField),
    ] as [Case] {
      #expect(rig.checked(try copy(rig, sources, to: target).status) == status)
    }
    // Formats and protection information that do not exist.
    for bits in [1 << 8, 1 << 13, 1 << 27] as [UInt32] {
      #expect(rig.checked(try copy(rig, [(0, 1)], to: 10, bits).status) == .invalidField)
    }
    #expect(storage.requests.isEmpty)
  }

  @Test("E2: a Copy that fails says at which range", arguments: behaviours)
  func copyFailure(behaviour: ProbeStorage.Behaviour) throws {
    let (rig, storage) = try makeRig(behaviour)
    #expect(try rig.status(.writeUncorrectable, block: 31) == .success)
    let end = try copy(rig, [(0, 4), (10, 4), (30, 4), (50, 4)], to: 100)
    #expect(rig.checked(end.status) == .unrecoveredReadError && end.result == 2)
    #expect(try rig.lastError.block == 31)
    storage.fail(.write, .noSpace)
    let full = try copy(rig, [(0, 4)], to: 100)
    #expect(rig.checked(full.status) == .capacityExceeded && full.result == 0)
    storage.fail(.write, nil)
    #expect(try copy(rig, [(0, 4)], to: 31).status == .success)
    #expect(try rig.status(.read, block: 31) == .success)
  }
}
