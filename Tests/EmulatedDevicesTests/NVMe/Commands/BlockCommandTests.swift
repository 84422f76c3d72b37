import BlockStorage
import NVMe
import Testing

@testable import VFIOUser

/// Flush, Compare, Write Zeroes, Write Uncorrectable and Verify.
@Suite("NVMe block commands", .timeLimit(.minutes(10)), .serialized)
struct BlockCommandTests {
  private static let behaviours: [ProbeStorage.Behaviour] = [.immediate, .deferred]

  @Test("E2: Flush is for one namespace, or for all", arguments: behaviours)
  func flush(behaviour: ProbeStorage.Behaviour) throws {
    let storages = try (0..<3).map { _ in try ProbeStorage(behaviour) }
    let rig = try NVMeRig(storages: storages)
    #expect(try rig.status(.flush) { $0.namespaceIdentifier = 2 } == .success)
    #expect(storages.map { $0.requests.map(\.operation) } == [[], [.flush], []])
    #expect(try rig.status(.flush) { $0.namespaceIdentifier = 0xffff_ffff } == .success)
    #expect(storages.map(\.requests.count) == [1, 2, 1])
    for namespace in [0, 4, 0xffff_fffe] as [UInt32] {
      #expect(
        try rig.status(.flush) { $0.namespaceIdentifier = namespace } == .invalidNamespaceOrFormat)
    }
  }

  @Test("E2: where one namespace cannot be flushed, the others are", arguments: behaviours)
  func flushFailure(behaviour: ProbeStorage.Behaviour) throws {
    let storages = try (0..<3).map { _ in try ProbeStorage(behaviour) }
    storages[1].fail(.flush, .ioError)
    let rig = try NVMeRig(storages: storages)
    #expect(try rig.status(.flush) { $0.namespaceIdentifier = 0xffff_ffff } == .writeFault)
    #expect(storages.map(\.requests.count) == [1, 1, 1])
    #expect(try rig.status(.flush) { $0.namespaceIdentifier = 3 } == .success)
  }

  @Test("E2: Compare finds any byte that differs", arguments: behaviours, [true, false])
  func compare(behaviour: ProbeStorage.Behaviour, isMapped: Bool) throws {
    let storage = try ProbeStorage(byteCount: 4 << 20, behaviour)
    let rig = try NVMeRig(storages: [storage], isMapped: isMapped)
    // More than is compared at once.
    let byteCount = 512 << 10
    storage.fill(Pattern.bytes(byteCount), at: 4096)
    let layout = try PRPLayout(
      rig, arena: rig.allocate(PRPLayout.arenaByteCount(byteCount)), byteCount: byteCount,
      firstOffset: 12)
    func compare() throws -> NVMeStatus {
      try rig.status(.compare, block: 8, count: 1024, prp1: layout.prp1, prp2: layout.prp2)
    }
    try layout.scatter(Pattern.bytes(byteCount), rig)
    #expect(try compare() == .success)
    for place in [0, 4095, 131_071, 131_072, byteCount - 1] {
      var bytes = Pattern.bytes(byteCount)
      bytes[place] ^= 0x10
      try layout.scatter(bytes, rig)
      #expect(try compare() == .compareFailure, "byte \(place)")
    }
    #expect(storage.contents(at: 4096, byteCount) == Pattern.bytes(byteCount))
    #expect(HealthLog(try rig.log(.health)).hostReadCommands == 6)
  }

  @Test("E2: Write Zeroes zeroes its blocks, and no others", arguments: behaviours)
  func writeZeroes(behaviour: ProbeStorage.Behaviour) throws {
    let storage = try ProbeStorage(behaviour)
    let rig = try NVMeRig(storages: [storage])
    var image = Pattern.bytes(1 << 20)
    storage.fill(image)
    for (block, count) in [(0, 1), (5, 3), (1000, 1048)] {
      #expect(try rig.status(.writeZeroes, block: UInt64(block), count: count) == .success)
      for place in (block * 512)..<((block + count) * 512) { image[place] = 0 }
    }
    #expect(storage.contents(1 << 20) == image)
    #expect(storage.requests.allSatisfy { $0.operation == .writeZeroes } as Bool)
  }

  @Test(
    "E2: Write Zeroes deallocates where it may and can, unless it has to be durable",
    arguments: [
      (true, true, false, .discard), (false, true, false, .writeZeroes),
      (true, false, false, .writeZeroes), (true, true, true, .writeZeroes),
    ] as [(Bool, Bool, Bool, BlockOperation)])
  func deallocating(
    mayDeallocate: Bool, canDiscard: Bool, isForced: Bool, operation: BlockOperation
  ) throws {
    let storage = try ProbeStorage { $0.canDiscard = canDiscard }
    let rig = try NVMeRig(storages: [storage])
    storage.fill(Pattern.bytes(4096))
    let status = try rig.status(.writeZeroes, block: 1, count: 2) {
      if mayDeallocate { $0.dword12 |= 1 << 25 }
      $0.forcesUnitAccess = isForced
    }
    #expect(status == .success)
    #expect(
      storage.requests == [
        .init(operation: operation, byteOffset: 512, byteCount: 1024, isDurable: isForced)
      ])
    #expect(storage.contents(at: 512, 1024) == [UInt8](repeating: 0, count: 1024))
  }

  @Test(
    "E2: uncorrectable blocks cannot be read by any command, and their neighbours can",
    arguments: [IOOpcode.read, .compare, .verify])
  func uncorrectable(opcode: IOOpcode) throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.writeUncorrectable, block: 10, count: 3) == .success)
    for (block, count, bad) in [(8, 8, 10), (10, 1, 10), (12, 1, 12), (11, 5, 11)] {
      #expect(
        try rig.status(opcode, block: UInt64(block), count: count) == .unrecoveredReadError)
      #expect(try rig.lastError.block == UInt64(bad))
    }
    #expect(try rig.status(opcode, block: 2, count: 8) == .success)
    #expect(try rig.status(opcode, block: 13, count: 2) == .success)
    #expect(HealthLog(try rig.log(.health)).mediaErrors == 4)
  }

  @Test(
    "E2: an uncorrectable block can be read once it was written",
    arguments: [IOOpcode.write, .writeZeroes, .datasetManagement], behaviours)
  func corrected(opcode: IOOpcode, behaviour: ProbeStorage.Behaviour) throws {
    let storage = try ProbeStorage(behaviour)
    let rig = try NVMeRig(storages: [storage])
    #expect(try rig.status(.writeUncorrectable, block: 10, count: 3) == .success)
    func heal() throws -> NVMeStatus {
      if opcode == .datasetManagement {
        try rig.write(words: [1 << 32, 11], NVMeRig.dataPlace)
        return try rig.status(opcode) {
          $0.startingBlock = 4 << 32
          $0.words[6] = 0
        }
      }
      return try rig.status(opcode, block: 11)
    }
    // A command that fails has written nothing.
    for operation in [BlockOperation.write, .writeZeroes, .discard] {
      storage.fail(operation, .ioError)
    }
    #expect(try heal() == .writeFault)
    #expect(try rig.status(.read, block: 11) == .unrecoveredReadError)
    for operation in [BlockOperation.write, .writeZeroes, .discard] {
      storage.fail(operation, nil)
    }
    #expect(try heal() == .success)
    #expect(try rig.status(.read, block: 11) == .success)
    #expect(try rig.status(.read, block: 10) == .unrecoveredReadError)
    #expect(try rig.status(.read, block: 12) == .unrecoveredReadError)
    // What is written by Format NVM, too.
    #expect(try rig.status(.formatNVM, namespace: 1, 0) == .success)
    #expect(try rig.status(.read, block: 8, count: 8) == .success)
  }

  @Test("E2: Verify reads all of its blocks, however many", arguments: behaviours)
  func verify(behaviour: ProbeStorage.Behaviour) throws {
    let storage = try ProbeStorage(byteCount: 40 << 20, behaviour)
    let rig = try NVMeRig(storages: [storage])
    #expect(try rig.status(.verify, block: 100, count: 65_536) == .success)
    var place: UInt64 = 51_200
    for request in storage.requests {
      #expect(request.operation == .read && request.byteOffset == place)
      place += UInt64(request.byteCount)
    }
    #expect(place == 51_200 + 32 << 20)
    storage.fail(.read, .ioError)
    #expect(try rig.status(.verify, block: 100, count: 65_536) == .unrecoveredReadError)
  }
}
