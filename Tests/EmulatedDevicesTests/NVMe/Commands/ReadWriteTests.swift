import BlockStorage
import NVMe
import Testing

@testable import VFIOUser

@Suite("NVMe Read and Write", .timeLimit(.minutes(10)), .serialized)
struct ReadWriteTests {
  @Test(
    "E4: what is written is read back, in blocks of both sizes, however memory is reached",
    arguments: RigMode.allCases, [0, 1] as [UInt32])
  func roundTrip(mode: RigMode, format: UInt32) throws {
    let storage = try ProbeStorage()
    let rig = try mode.makeRig(storages: [storage])
    #expect(try rig.status(.formatNVM, namespace: 1, format) == .success)
    let shift = format == 0 ? 9 : 12
    let place = rig.allocate(PRPLayout.arenaByteCount(65_536))
    for (index, count) in [1, 2, 7, 16].enumerated() {
      let byteCount = count << shift
      let layout = try PRPLayout(rig, arena: place, byteCount: min(byteCount, 4096))
      let block = UInt64(index * 16 + 1)
      let bytes = Pattern.bytes(byteCount, seed: index)
      // One command for each page, so that every block's place is seen.
      let piece = 4096 >> shift
      for first in stride(from: 0, to: count, by: piece) {
        let blocks = min(piece, count - first)
        let part = Array(bytes[(first << shift)..<((first + blocks) << shift)])
        try rig.write(part, layout.pieces[0].lowerBound)
        #expect(
          try rig.status(
            .write, block: block + UInt64(first), count: blocks, prp1: layout.prp1) == .success)
      }
      #expect(storage.contents(at: Int(block) << shift, byteCount) == bytes)
      let target = try PRPLayout(rig, arena: place, byteCount: byteCount)
      #expect(
        try rig.status(.read, block: block, count: count, prp1: target.prp1, prp2: target.prp2)
          == .success)
      #expect(try target.gather(rig) == bytes)
    }
  }

  /// Commands that name blocks by Command Dwords 10 to 12.
  static let ranged: [IOOpcode] = [
    .read, .write, .compare, .writeZeroes, .writeUncorrectable, .verify,
  ]

  @Test("E17: blocks that do not exist are refused, and the log says which", arguments: ranged)
  func outOfRange(opcode: IOOpcode) throws {
    let storage = try ProbeStorage()
    let rig = try NVMeRig(storages: [storage])
    #expect(try rig.status(opcode, block: 2047) == .success)
    storage.forgetRequests()
    let layout = try PRPLayout(rig, arena: rig.allocate(1 << 20), byteCount: 65_536)
    for (block, count) in [
      (2047, 2), (2048, 1), (0, 2049), (1, 2048), (1 << 55, 1), (UInt64.max, 1), (UInt64.max, 2),
      (UInt64.max - 7, 8), (UInt64.max - 7, 9), (1 << 63, 128), (UInt64.max, 65_536),
    ] as [(UInt64, Int)] {
      #expect(
        try rig.status(opcode, block: block, count: count, prp1: layout.prp1, prp2: layout.prp2)
          == .blockOutOfRange, "\(count) from \(block)")
      let error = try rig.lastError
      #expect(error.block == block && error.namespace == 1 && error.parameterLocation == 40)
    }
    #expect(storage.requests.isEmpty)
    #expect(try rig.status(.read, block: 2047).isSuccess == (opcode != .writeUncorrectable))
  }

  @Test("E17: blocks of 4 KiB end where the storage does", arguments: ranged)
  func outOfRangeLarge(opcode: IOOpcode) throws {
    // Not a whole number of them.
    let rig = try NVMeRig(
      "block-size=4K", storages: [MemoryStorage(byteCount: (1 << 20) + 2048)])
    #expect(IdentifyNamespace(try rig.identify(0, namespace: 1)).blockCount == 256)
    #expect(try rig.status(opcode, block: 255) == .success)
    #expect(try rig.status(opcode, block: 256) == .blockOutOfRange)
    #expect(try rig.status(opcode, block: 255, count: 2) == .blockOutOfRange)
    #expect(try rig.status(opcode, block: 1 << 52) == .blockOutOfRange)
  }

  @Test("E17: namespaces that do not exist are refused", arguments: ranged)
  func badNamespace(opcode: IOOpcode) throws {
    let storage = try ProbeStorage()
    let rig = try NVMeRig(storages: [storage])
    for namespace in [0, 2, 0x8000_0001, 0xffff_fffe, 0xffff_ffff] as [UInt32] {
      #expect(
        try rig.status(opcode) { $0.namespaceIdentifier = namespace } == .invalidNamespaceOrFormat)
      let error = try rig.lastError
      #expect(error.namespace == namespace && error.parameterLocation == 4)
    }
    #expect(storage.requests.isEmpty)
  }

  @Test("E2: each namespace has its own blocks")
  func namespaces() throws {
    let storages = try (0..<5).map { _ in try ProbeStorage() }
    let rig = try NVMeRig(storages: storages)
    for index in storages.indices {
      try rig.write(Pattern.bytes(512, seed: index), NVMeRig.dataPlace)
      #expect(
        try rig.status(.write, block: 7) { $0.namespaceIdentifier = UInt32(index + 1) } == .success)
    }
    for (index, storage) in storages.enumerated() {
      #expect(storage.contents(at: 3584, 512) == Pattern.bytes(512, seed: index))
      #expect(storage.requests.count == 1)
    }
  }

  @Test("E17: more than MDTS is refused", arguments: [1, 8, 9])
  func transferLimit(shift: Int) throws {
    let rig = try NVMeRig("mdts=\(shift)")
    let most = 4096 << shift
    let layout = try PRPLayout(
      rig, arena: rig.allocate(PRPLayout.arenaByteCount(most + 512)), byteCount: most + 512)
    for opcode in [IOOpcode.read, .write, .compare] {
      #expect(
        try rig.status(opcode, count: most / 512, prp1: layout.prp1, prp2: layout.prp2) == .success)
      #expect(
        try rig.status(opcode, count: most / 512 + 1, prp1: layout.prp1, prp2: layout.prp2)
          == .invalidField)
      #expect(try rig.lastError.parameterLocation == 48)
    }
    #expect(
      IdentifyController(try rig.identify(1)).maximumTransferShift == UInt8(shift))
  }

  @Test(
    "E17: fused commands, reserved bits and protection of data without metadata are refused",
    arguments: [1 << 8, 2 << 8, 3 << 8, 1 << 10, 1 << 13] as [UInt64])
  func reserved(bits: UInt64) throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.write) { $0.words[0] |= bits } == .invalidField)
    #expect(try rig.lastError.parameterLocation == 1)
    #expect(try rig.status(.read) { $0.dword12 |= 1 << 29 } == .invalidField)
  }

  @Test("E17: commands that do not exist are refused")
  func badOpcodes() throws {
    let rig = try NVMeRig()
    for opcode in [0x03, 0x06, 0x0d, 0x0e, 0x11, 0x7f, 0x80, 0xff] as [UInt8] {
      for namespace in [0, 1, 0xffff_ffff] as [UInt32] {
        #expect(
          try rig.status(.read) {
            $0.opcode = opcode
            $0.namespaceIdentifier = namespace
          } == .invalidOpcode)
      }
    }
    #expect(try rig.lastError.parameterLocation == 0)
  }

  @Test("E2: FUA makes a write durable, and so does turning the write cache off")
  func durability() throws {
    let storage = try ProbeStorage { $0.hasVolatileCache = true }
    let rig = try NVMeRig("queue-threads=1", storages: [storage])
    func durable(_ opcode: IOOpcode, _ isForced: Bool) throws -> Bool? {
      storage.forgetRequests()
      #expect(try rig.status(opcode) { $0.forcesUnitAccess = isForced } == .success)
      return storage.requests.first?.isDurable
    }
    #expect(IdentifyController(try rig.identify(1)).volatileWriteCache & 1 == 1)
    #expect(try durable(.write, false) == false)
    #expect(try durable(.write, true) == true)
    #expect(try durable(.writeZeroes, false) == false)
    #expect(try durable(.writeZeroes, true) == true)
    storage.forgetRequests()
    #expect(try rig.status(.setFeatures, 6, 0) == .success)
    // What was kept back until then is written first.
    #expect(storage.requests.map(\.operation) == [.flush])
    #expect(try rig.run(.getFeatures, 6).result == 0)
    #expect(try durable(.write, false) == true)
    #expect(try durable(.writeZeroes, false) == true)
    #expect(try durable(.read, false) == false)
    #expect(try rig.status(.setFeatures, 6, 1) == .success)
    #expect(try durable(.write, false) == false)
    #expect(try rig.status(.setFeatures, 6, 0) == .success)
    try rig.disable()
    try rig.enable()
    #expect(try durable(.write, false) == false, "a reset brings the default back")
  }

  @Test("E2: a file's blocks are in the file, and those of a read-only one stay as they are")
  func files() throws {
    let (first, second) = try (
      TemporaryFile(byteCount: 1 << 20), TemporaryFile(byteCount: 1 << 20)
    )
    var options = FileStorageOptions()
    options.isReadOnly = true
    let rig = try NVMeRig(storages: [
      FileStorage(path: first.path), FileStorage(path: second.path, options),
    ])
    try rig.write(Pattern.bytes(4096), NVMeRig.dataPlace)
    #expect(try rig.status(.write, block: 3, count: 8) { $0.forcesUnitAccess = true } == .success)
    #expect(Array(try first.contents()[1536..<5632]) == Pattern.bytes(4096))
    // A range that Dataset Management and Copy can both read: block 8.
    try rig.write(words: [1 << 32, 8, 0, 0], NVMeRig.dataPlace)
    for opcode in [
      IOOpcode.write, .writeZeroes, .writeUncorrectable, .datasetManagement, .copy,
    ] {
      let status = try rig.status(opcode, count: 1) {
        $0.namespaceIdentifier = 2
        // Deallocate; a single range.
        if opcode == .datasetManagement { $0.startingBlock = 4 << 32 }
        if opcode == .copy { $0.words[6] = 0 }
      }
      #expect(status == .namespaceWriteProtected, "\(opcode)")
    }
    for opcode in [IOOpcode.read, .verify, .flush] {
      #expect(try rig.status(opcode, count: 8) { $0.namespaceIdentifier = 2 } == .success)
    }
    #expect(try rig.status(.formatNVM, namespace: 2, 0) == .namespaceWriteProtected)
    #expect(try rig.status(.formatNVM, namespace: 0xffff_ffff, 0) == .namespaceWriteProtected)
    #expect(IdentifyNamespace(try rig.identify(0, namespace: 2)).attributes & 1 == 1)
    #expect(try second.contents() == [UInt8](repeating: 0, count: 1 << 20))
  }
}
