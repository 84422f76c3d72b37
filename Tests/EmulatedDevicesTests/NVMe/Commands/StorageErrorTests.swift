import BlockStorage
import NVMe
import Testing

@testable import VFIOUser

@Suite("NVMe errors of a storage", .timeLimit(.minutes(10)), .serialized)
struct StorageErrorTests {
  private static let behaviours: [ProbeStorage.Behaviour] = [.immediate, .deferred]

  /// What a command asks of its storage first.
  private static let operations: [(opcode: IOOpcode, operation: BlockOperation)] = [
    (.read, .read), (.write, .write), (.flush, .flush), (.compare, .read), (.verify, .read),
    (.writeZeroes, .writeZeroes), (.datasetManagement, .discard), (.copy, .read),
  ]

  private func run(_ opcode: IOOpcode, _ rig: NVMeRig) throws -> CompletionQueueEntry {
    var entry = SubmissionQueueEntry(opcode, block: 40, prp1: NVMeRig.base)
    if opcode == .datasetManagement || opcode == .copy {
      // One range from block 8: of 1 block, at the second word of either format.
      try rig.write(words: [1 << 32, 8, 0, 0], NVMeRig.dataPlace)
      entry.words[6] = 0
      if opcode == .datasetManagement { entry.words[5] = 4 << 32 }
    }
    return try rig.run(entry)
  }

  @Test(
    "E17: an error of the storage is the command's, with an entry in the log; the device lives on",
    arguments: operations.indices, behaviours)
  func errors(index: Int, behaviour: ProbeStorage.Behaviour) throws {
    let (opcode, operation) = Self.operations[index]
    let storage = try ProbeStorage(behaviour)
    let rig = try NVMeRig(storages: [storage])
    #expect(try run(opcode, rig).status == .success)
    let media: NVMeStatus = operation == .read ? .unrecoveredReadError : .writeFault
    for (error, status) in [
      (.ioError, media), (.timedOut, media), (.noSpace, .capacityExceeded),
      (.diskQuotaExceeded, .capacityExceeded), (.readOnlyFileSystem, .namespaceWriteProtected),
      (.noMemory, .internalError), (.invalidArgument, .internalError),
      (.badAddress, .dataTransferError),
    ] as [(Errno, NVMeStatus)] {
      storage.fail(operation, error)
      let completion = try run(opcode, rig)
      #expect(rig.checked(completion.status) == status, "\(error)")
      let entry = try rig.lastError
      #expect(entry.commandIdentifier == completion.commandIdentifier)
      #expect(entry.submissionQueue == 1 && entry.namespace == 1)
      #expect(entry.statusField >> 1 == completion.status.rawValue)
    }
    #expect(HealthLog(try rig.log(.health)).mediaErrors == 2)
    storage.fail(operation, nil)
    #expect(try run(opcode, rig).status == .success)
    #expect(try !rig.status.isFatal)
  }

  @Test("E17: commands that fail among others fail alone", arguments: [0, 2])
  func among(threads: Int) throws {
    let storage = try ProbeStorage(.deferred)
    let rig = try NVMeRig("queue-threads=\(threads)", storages: [storage])
    storage.fail(.write, .ioError)
    let queue = try rig.makePair(1, entryCount: 64)
    for index in 0..<60 {
      let opcode = index % 3 == 0 ? IOOpcode.write : .read
      try rig.put(SubmissionQueueEntry(opcode, prp1: NVMeRig.base), in: queue)
    }
    try rig.ring(queue)
    for entry in try rig.reap(queue, 60) {
      let isWrite = entry.commandIdentifier % 3 == 0
      #expect(entry.status.withoutMore == (isWrite ? .writeFault : .success))
    }
    #expect(HealthLog(try rig.log(.health)).errorLogEntries == 20)
  }

  @Test("E17: the error log keeps the newest 64, and goes on counting")
  func logCapacity() throws {
    let rig = try NVMeRig()
    for block in 0..<70 as Range<UInt64> {
      #expect(try rig.status(.read, block: 1 << 40 + block) == .blockOutOfRange)
    }
    let page = try rig.log(.errorInformation, byteCount: 4096)
    let entries = (0..<64).map { ErrorInformationLogEntry(Array(page[($0 * 64)..<($0 * 64 + 64)])) }
    #expect(entries.map(\.errorCount) == (7...70).reversed())
    #expect(entries.map(\.block) == (6..<70).reversed().map { 1 << 40 + $0 })
    #expect(HealthLog(try rig.log(.health)).errorLogEntries == 70)
    #expect(IdentifyController(try rig.identify(1)).errorLogPageEntries == 63)
  }

  @Test("E17: a format that fails leaves the namespace as it was", arguments: behaviours)
  func format(behaviour: ProbeStorage.Behaviour) throws {
    let storage = try ProbeStorage(behaviour)
    let rig = try NVMeRig(storages: [storage])
    storage.fail(.discard, .ioError)
    #expect(try rig.status(.formatNVM, namespace: 1, 1) == .writeFault)
    #expect(IdentifyNamespace(try rig.identify(0, namespace: 1)).blockByteCount == 512)
    #expect(try rig.status(.read) == .success)
    storage.fail(.discard, nil)
    #expect(try rig.status(.formatNVM, namespace: 1, 1) == .success)
  }

  @Test("E17: a shutdown ends even where the storage cannot be flushed", arguments: behaviours)
  func shutdown(behaviour: ProbeStorage.Behaviour) throws {
    let storage = try ProbeStorage(behaviour)
    storage.fail(.flush, .ioError)
    let rig = try NVMeRig(storages: [storage])
    try rig.store(
      NVMeRig.usualConfiguration | 1 | 1 << 14, ControllerRegisterOffset.configuration)
    try rig.wait { try rig.status.shutdown == .complete }
    #expect(storage.requests.map(\.operation) == [.flush])
  }
}
