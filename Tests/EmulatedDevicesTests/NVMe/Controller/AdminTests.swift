import BlockStorage
import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("nvme: admin commands", .timeLimit(.minutes(10)))
struct NVMeAdminTests {
  @Test("E2: Identify describes the controller")
  func identifyController() throws {
    let rig = try NVMeRig("serial=ABC")
    let data = IdentifyController(try rig.identify(1))
    #expect(data.serialNumber == "ABC")
    #expect(data.version == 0x0001_0400)
    #expect(data.namespaceCount == 1)
    #expect(data.keepAliveSupport == 10)
    #expect(data.submissionQueueEntrySize == 0x66 && data.completionQueueEntrySize == 0x44)
    // Memory has no write cache.
    #expect(data.volatileWriteCache & 1 == 0)
    #expect(data.adminCommandSupport == 0x102)
  }

  @Test("E2: Identify describes namespaces, and lists them")
  func identifyNamespaces() throws {
    let rig = try NVMeRig(
      storages: [MemoryStorage(byteCount: 1 << 20), MemoryStorage(byteCount: 2 << 20)])
    let data = IdentifyNamespace(try rig.identify(0, namespace: 2))
    #expect(data.blockCount == 4096 && data.blockByteCount == 512)
    #expect(data.optimalWriteByteCount == 255, "in blocks: 128 KiB")
    func list(after namespace: UInt32) throws -> [UInt8] {
      Array(try rig.identify(2, namespace: namespace).prefix(12))
    }
    #expect(try list(after: 0) == [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    #expect(try list(after: 1) == [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    let first = try rig.identify(3, namespace: 1)
    let second = try rig.identify(3, namespace: 2)
    #expect(first[0] == 1 && first[1] == 8 && first != second)
    for namespace in [0, 3, 0xffff_ffff] as [UInt32] {
      #expect(try rig.status(.identify, namespace: namespace, 0) == .invalidNamespaceOrFormat)
    }
  }

  @Test(
    "E17: what Identify does not offer is an invalid field",
    arguments: [0x06, 0x10, 0x11, 0x13, 0xff] as [UInt32])
  func unknownStructure(structure: UInt32) throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.identify, namespace: 1, structure) == .invalidField)
  }

  @Test("E17: commands that do not exist are refused, with an entry in the error log")
  func errorLog() throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.securitySend) == .invalidOpcode)
    #expect(try rig.status(.firmwareCommit) == .invalidOpcode)
    let refused = try rig.submit(.identify, namespace: 7, 0)
    let completion = try rig.reap(rig.admin, 1)[0]
    #expect(completion.status ~= .invalidNamespaceOrFormat)
    let entry = ErrorInformationLogEntry(try rig.log(.errorInformation, byteCount: 64))
    #expect(entry.errorCount == 3 && entry.submissionQueue == 0)
    #expect(entry.commandIdentifier == refused && entry.namespace == 7)
    #expect(entry.parameterLocation == 4)
    #expect(entry.statusField >> 1 == completion.status.rawValue)
    let older = ErrorInformationLogEntry(
      try rig.log(.errorInformation, byteCount: 64, offset: 128))
    #expect(older.errorCount == 1 && older.parameterLocation == 0)
    #expect(try HealthLog(rig.log(.health)).errorLogEntries == 3)
  }

  @Test("E17: admin commands with SGLs, fused or with reserved bits are refused")
  func admission() throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.identify, 1, pointerKind: 1) == .invalidField)
    #expect(
      try rig.status(.identify, prp1: NVMeRig.base + 2, 1) == .invalidPRPOffset)
    #expect(try rig.status(.identify, prp1: 0x7000_0000, 1) ~= .dataTransferError)
  }

  @Test(
    "E17: completion queues that cannot be are refused",
    arguments: [
      (0, 63, 1, 0, .invalidQueueIdentifier), (5, 63, 1, 0, .invalidQueueIdentifier),
      (1, 0, 1, 0, .invalidQueueSize), (1, 128, 1, 0, .invalidQueueSize),
      (1, 63, 0, 0, .invalidField), (1, 63, 1, 64, .invalidPRPOffset),
      (1, 63, 3 | 5 << 16, 0, .invalidInterruptVector),
    ] as [(UInt32, UInt32, UInt32, UInt64, NVMeStatus)])
  func badCompletionQueue(
    identifier: UInt32, size: UInt32, attributes: UInt32, misalignment: UInt64, status: NVMeStatus
  ) throws {
    let rig = try NVMeRig("queues=4", "queue-depth=128")
    #expect(
      try rig.status(
        .createCompletionQueue, prp1: NVMeRig.base + misalignment,
        identifier | size << 16, attributes) == status)
  }

  @Test("E17: queues are made and deleted in order; what comes out of order is refused")
  func queueOrder() throws {
    let rig = try NVMeRig("queues=4")
    let base = rig.address(rig.allocate(8192))
    let queue: UInt32 = 1 | 63 << 16
    typealias Status = NVMeStatus
    #expect(
      try rig.status(.createSubmissionQueue, prp1: base, queue, 1 | 1 << 16)
        == .invalidCompletionQueue)
    #expect(
      try rig.status(.createSubmissionQueue, prp1: base, queue, 1) == .invalidQueueIdentifier)
    let pair = try rig.makePair(1, entryCount: 64)
    #expect(
      try rig.status(.createCompletionQueue, prp1: base, queue, 1) == .invalidQueueIdentifier)
    #expect(
      try rig.status(.createSubmissionQueue, prp1: base, queue, 1 | 1 << 16)
        == .invalidQueueIdentifier)
    #expect(try rig.status(.deleteCompletionQueue, 1) == .invalidQueueDeletion)
    #expect(try rig.status(.deleteSubmissionQueue, 2) == .invalidQueueIdentifier)
    #expect(try rig.status(.deleteSubmissionQueue, 0) == .invalidQueueIdentifier)
    try rig.deletePair(pair)
    #expect(try rig.status(.deleteCompletionQueue, 1) == .invalidQueueIdentifier)
    // A queue that does not end before the last address.
    let last = UInt64.max - 4095
    #expect(
      try rig.status(.createCompletionQueue, prp1: last, 1 | 4095 << 16, 1) == .invalidPRPOffset)
    #expect(try !rig.status.isFatal)
    _ = try rig.makePair(1, entryCount: 64)
  }

  @Test("E17: I/O queues need the entry sizes in CC")
  func entrySizes() throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.enable(0)
    #expect(
      try rig.status(.createCompletionQueue, prp1: NVMeRig.base, 1 | 63 << 16, 1)
        == .invalidQueueSize)
  }

  @Test("E2: features are set, read, and have defaults")
  func features() throws {
    let rig = try NVMeRig("queues=8")
    func get(_ identifier: UInt32, select: UInt32 = 0, _ dword11: UInt32 = 0) throws -> UInt32 {
      let entry = try rig.run(.getFeatures, identifier | select << 8, dword11)
      #expect(entry.status.isSuccess)
      return entry.result
    }
    #expect(try rig.run(.setFeatures, 7, 3 | 3 << 16).result == 7 | 7 << 16)
    #expect(try get(7) == 7 | 7 << 16)
    for (identifier, value) in [(1, 0x0102_0304), (5, 9), (8, 0x0203), (10, 1), (0xb, 0x100)]
      as [(UInt32, UInt32)]
    {
      let initial = try get(identifier)
      #expect(try rig.status(.setFeatures, identifier, value).isSuccess)
      #expect(try get(identifier) == value)
      #expect(try get(identifier, select: 1) == initial, "the default")
      // Changeable; error recovery also through a namespace.
      #expect(try get(identifier, select: 3) == (identifier == 5 ? 6 : 4))
    }
    #expect(try rig.status(.setFeatures, 9, 3 | 1 << 16).isSuccess)
    #expect(try get(9, 3) == 3 | 1 << 16 && get(9, 4) == 4)
    try rig.disable()
    try rig.enable()
    #expect(try get(5) == 0, "a reset brings the defaults back")
  }

  @Test("E2: error recovery is a namespace's; set through all ones it is everyone's")
  func errorRecovery() throws {
    let rig = try NVMeRig(
      storages: try (0..<3).map { _ in try MemoryStorage(byteCount: 1 << 20) })
    func values(select: UInt32 = 0) throws -> [UInt32] {
      try ([1, 2, 3] as [UInt32]).map {
        try rig.run(.getFeatures, namespace: $0, 5 | select << 8).result
      }
    }
    #expect(try values() == [0, 0, 0])
    #expect(try rig.status(.setFeatures, namespace: 2, 5, 7).isSuccess)
    #expect(try values() == [0, 7, 0])
    #expect(try rig.status(.setFeatures, namespace: 0xffff_ffff, 5, 9).isSuccess)
    #expect(try rig.status(.setFeatures, namespace: 3, 5, 11).isSuccess)
    #expect(try values() == [9, 9, 11])
    #expect(try values(select: 1) == [0, 0, 0], "the default")
    for namespace in [4, 0xffff_fffe, 0xffff_ffff] as [UInt32] {
      #expect(
        try rig.status(.getFeatures, namespace: namespace, 5) == .invalidNamespaceOrFormat)
    }
    #expect(try rig.status(.setFeatures, namespace: 4, 5, 1) == .invalidNamespaceOrFormat)
    #expect(try rig.run(.getFeatures, 5).result == 9, "no namespace named")
    #expect(try values() == [9, 9, 11])
    try rig.disable()
    try rig.enable()
    #expect(try values() == [0, 0, 0])
  }

  @Test(
    "E17: features that cannot be set so are refused",
    arguments: [
      (0x8000_0005, 0, 0, .featureNotSaveable), (0x7f, 0, 0, .invalidField),
      (7, 0xffff, 0, .invalidField), (7, 0xffff_0000, 0, .invalidField),
      (2, 1, 0, .invalidField), (9, 65, 0, .invalidField), (4, 2 << 20, 0, .invalidField),
      (1, 0, 1, .featureNotNamespaceSpecific), (1, 0, 9, .invalidNamespaceOrFormat),
      // There is no write cache.
      (6, 1, 0, .invalidField), (0xf, 1000, 1, .featureNotNamespaceSpecific),
    ] as [(UInt32, UInt32, UInt32, NVMeStatus)])
  func badFeature(identifier: UInt32, value: UInt32, namespace: UInt32, status: NVMeStatus) throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.setFeatures, namespace: namespace, identifier, value) == status)
  }

  @Test("E17: the number of queues is settled before there are any")
  func queueCountTooLate() throws {
    let rig = try NVMeRig()
    _ = try rig.makePair(1, entryCount: 64)
    #expect(try rig.status(.setFeatures, 7, 0) == .commandSequenceError)
  }

  @Test("E2: the health log counts what was read and written")
  func health() throws {
    let rig = try NVMeRig()
    for opcode in [IOOpcode.write, .read, .read] {
      #expect(try rig.status(opcode, count: 8) == .success)
    }
    let log = HealthLog(try rig.log(.health))
    #expect(log.hostWriteCommands == 1 && log.hostReadCommands == 2)
    #expect(log.dataUnitsWritten == 1 && log.temperature == 303 && log.criticalWarning == 0)
  }

  @Test("E17: log pages that do not exist, and offsets beyond them, are refused")
  func badLogs() throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.getLogPage, 0x7f | 15 << 16) == .invalidLogPage)
    #expect(try rig.status(.getLogPage, 1 | 15 << 16, 0, 2) == .invalidField)
    #expect(try rig.status(.getLogPage, 3 | 15 << 16, 0, 1024) == .invalidField)
    #expect(try rig.status(.getLogPage, namespace: 1, 2 | 15 << 16) == .invalidField)
    #expect(try FirmwareSlotLog(rig.log(.firmwareSlot)).activeSlot == 1)
    let effects = CommandEffectsLog(try rig.log(.commandEffects, byteCount: 4096))
    #expect(effects[AdminOpcode.identify] == .supported)
    #expect(effects[AdminOpcode.firmwareCommit] == [])
    #expect(effects[IOOpcode.write] == [.supported, .changesBlocks])
  }

  @Test("E2: an event is told once, and again after its log page was read")
  func events() throws {
    let rig = try NVMeRig()
    let request = AdminOpcode.asynchronousEventRequest
    for _ in 0..<8 { try rig.submit(request) }
    let refused = try rig.submit(request)
    let limit = try rig.reap(rig.admin, 1)[0]
    #expect(limit.commandIdentifier == refused)
    #expect(limit.status ~= .asynchronousEventRequestLimitExceeded)

    // A doorbell of no queue.
    try rig.store(1, ControllerRegisterOffset.submissionQueueTail(9))
    #expect(try rig.reap(rig.admin, 1)[0].result == 0x01_0000)
    try rig.store(999, ControllerRegisterOffset.submissionQueueTail(0))
    #expect(try rig.settled(rig.admin).isEmpty, "until the log was read")
    _ = try rig.log(.errorInformation, keepsEvent: true)
    #expect(try rig.settled(rig.admin).isEmpty, "the read keeps the event")
    // The next event arrives with or after the end of the command.
    try rig.submit(
      .getLogPage, namespace: 0xffff_ffff, 1 | 15 << 16)
    let results = try rig.reap(rig.admin, 2)
    #expect(results.map(\.result).contains(0x01_0100))
  }

  @Test("E2: Abort takes an event request back")
  func abort() throws {
    let rig = try NVMeRig()
    let event = try rig.submit(.asynchronousEventRequest)
    let abort = try rig.submit(.abort, UInt32(event) << 16)
    let first = try rig.reap(rig.admin, 1)[0]
    #expect(first.commandIdentifier == event && first.status ~= .abortRequested)
    let second = try rig.reap(rig.admin, 1)[0]
    #expect(second.commandIdentifier == abort && second.result & 1 == 0)
    #expect(try rig.run(.abort, 0x7777 << 16).result & 1 == 1, "nothing to abort")
    #expect(try rig.status(.abort, 9) == .invalidField)
  }

  @Test("E2: Format NVM changes the block size, empties the namespace and says so")
  func format() throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.setFeatures, 0xb, 1 << 8).isSuccess)
    let event = try rig.submit(.asynchronousEventRequest)
    try rig.memory.store32(0x1234, at: NVMeRig.dataPlace)
    #expect(try rig.status(.write) == .success)
    try rig.submit(.formatNVM, namespace: 1, 1)
    let ends = try rig.reap(rig.admin, 2)
    let notice = try #require(ends.first { $0.commandIdentifier == event })
    #expect(notice.result == 0x04_0002)
    #expect(ends.filter { !$0.status.isSuccess }.isEmpty)
    #expect(try rig.log(.changedNamespaces, byteCount: 8) == [1, 0, 0, 0, 0, 0, 0, 0])
    #expect(try rig.log(.changedNamespaces, byteCount: 8) == [0, 0, 0, 0, 0, 0, 0, 0])
    let data = IdentifyNamespace(try rig.identify(0, namespace: 1))
    #expect(data.blockByteCount == 4096 && data.blockCount == 2048)
    #expect(try rig.status(.read) == .success)
    #expect(try rig.memory.load32(at: NVMeRig.dataPlace) == 0)
    for control in [2, 1 << 4, 1 << 5] as [UInt32] {
      #expect(try rig.status(.formatNVM, namespace: 1, control) == .invalidFormat)
    }
    #expect(try rig.status(.formatNVM, namespace: 1, 2 << 9) == .invalidField)
    #expect(try rig.status(.formatNVM, namespace: 9, 0) == .invalidNamespaceOrFormat)
    #expect(try rig.status(.formatNVM, namespace: 0xffff_ffff, 0).isSuccess)
    #expect(
      try IdentifyNamespace(rig.identify(0, namespace: 1)).blockByteCount == 512)
  }

  @Test("E17: shadow doorbells need two pages")
  func doorbellBuffers() throws {
    let rig = try NVMeRig()
    let page = NVMeRig.base + 0x8000
    #expect(
      try rig.status(.doorbellBufferConfig, prp1: page + 4, prp2: page + 0x1000) == .invalidField)
    #expect(try rig.status(.doorbellBufferConfig, prp1: page, prp2: 0) == .invalidField)
    #expect(try rig.status(.doorbellBufferConfig, prp1: page, prp2: page + 0x1000).isSuccess)
  }

  @Test("E2: the serial number follows from the files that are served")
  func serialOfFiles() throws {
    let files = try (0..<2).map { _ in try TemporaryFile(byteCount: 4096) }
    func serial(_ path: String, _ change: (inout FileStorageOptions) -> Void = { _ in }) throws
      -> [UInt8]
    {
      var options = FileStorageOptions()
      change(&options)
      let rig = try NVMeRig(storages: [FileStorage(path: path, options)])
      return Array(try rig.identify(1)[4..<24])
    }
    let first = try serial(files[0].path)
    #expect(first.allSatisfy { $0 >= 0x20 && $0 < 0x7f } as Bool)
    #expect(first.prefix(16).allSatisfy { $0 != 0x20 } as Bool)
    #expect(try serial(files[0].path) == first, "the next time")
    #expect(try serial("/tmp/../" + files[0].path) { $0.isReadOnly = true } == first)
    #expect(try serial(files[1].path) != first)
  }

  @Test("E17: log pages and identify data go wherever the PRPs say")
  func scatteredAnswer() throws {
    let rig = try NVMeRig()
    for (byteCount, offset) in [(4096, 0), (4096, 256), (12288, 4092), (65_536, 8)] {
      let layout = try PRPLayout(
        rig, arena: rig.allocate(PRPLayout.arenaByteCount(byteCount)), byteCount: byteCount,
        firstOffset: offset)
      try layout.scatter([UInt8](repeating: 0xee, count: byteCount), rig)
      let dwords = UInt32(byteCount / 4 - 1)
      #expect(
        try rig.status(
          .getLogPage, namespace: 0xffff_ffff, prp1: layout.prp1, prp2: layout.prp2,
          UInt32(LogPageIdentifier.commandEffects.rawValue) | dwords << 16) == .success)
      let page = try rig.log(.commandEffects, byteCount: 4096)
      // Behind the page there are zeros.
      #expect(
        try layout.gather(rig) == page + [UInt8](repeating: 0, count: byteCount - 4096))
    }
    // 1 MiB and a dword is more than MDTS.
    #expect(try rig.status(.getLogPage, 2, 4) == .invalidField)
    let tail = try rig.log(.commandEffects, byteCount: 64, offset: 4064)
    #expect(tail.suffix(32) == [UInt8](repeating: 0, count: 32)[...])
  }

  @Test("E2: controllers that are given no serial number differ")
  func serialNumbers() throws {
    let storages = try [MemoryStorage(byteCount: 1 << 20), MemoryStorage(byteCount: 2 << 20)]
    let numbers = storages.map { SerialNumber.make(for: [$0]) }
    #expect(Set(numbers).count == 2)
    #expect(numbers.filter { $0.isEmpty || $0.utf8.count > 20 }.isEmpty)
  }
}
