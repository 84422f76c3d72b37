import BlockStorage
import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("nvme: admin commands", .timeLimit(.minutes(1)))
struct NVMeAdminTests {
  private func bench(_ settings: String = "queues=64") throws -> ControllerBench {
    let bench = try ControllerBench(settings)
    try bench.enable()
    return bench
  }

  @Test("E2: Identify describes the controller")
  func identifyController() throws {
    let bench = try bench("serial=ABC")
    let data = IdentifyController(try bench.identify(1))
    #expect(data.serialNumber == "ABC")
    #expect(data.version == 0x0001_0400)
    #expect(data.namespaceCount == 1)
    #expect(data.keepAliveSupport == 0)
    #expect(data.submissionQueueEntrySize == 0x66 && data.completionQueueEntrySize == 0x44)
    // Memory has no write cache.
    #expect(data.volatileWriteCache & 1 == 0)
    #expect(data.adminCommandSupport == 0x102)
  }

  @Test("E2: Identify describes namespaces, and lists them")
  func identifyNamespaces() throws {
    let bench = try ControllerBench(
      storages: [MemoryStorage(byteCount: 1 << 20), MemoryStorage(byteCount: 2 << 20)])
    try bench.enable()
    let data = IdentifyNamespace(try bench.identify(0, namespace: 2))
    #expect(data.blockCount == 4096 && data.blockByteCount == 512)
    func list(after namespace: UInt32) throws -> [UInt8] {
      Array(try bench.identify(2, namespace: namespace).prefix(12))
    }
    #expect(try list(after: 0) == [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    #expect(try list(after: 1) == [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    let first = try bench.identify(3, namespace: 1)
    let second = try bench.identify(3, namespace: 2)
    #expect(first[0] == 1 && first[1] == 8 && first != second)
    for namespace in [0, 3, 0xffff_ffff] as [UInt32] {
      #expect(try bench.status(.identify, namespace: namespace, 0) == .invalidNamespaceOrFormat)
    }
  }

  @Test(
    "E17: what Identify does not offer is an invalid field",
    arguments: [0x06, 0x10, 0x11, 0x13, 0xff] as [UInt32])
  func unknownStructure(structure: UInt32) throws {
    let bench = try bench()
    #expect(try bench.status(.identify, namespace: 1, structure) == .invalidField)
  }

  @Test("E17: commands that do not exist are refused, with an entry in the error log")
  func errorLog() throws {
    let bench = try bench()
    #expect(try bench.status(.keepAlive) == .invalidOpcode)
    #expect(try bench.status(.firmwareCommit) == .invalidOpcode)
    let refused = try bench.submit(AdminOpcode.identify.rawValue, namespace: 7, 0)
    let completion = try #require(try bench.completion())
    #expect(completion.status ~= .invalidNamespaceOrFormat)
    let entry = ErrorInformationLogEntry(try bench.log(.errorInformation, byteCount: 64))
    #expect(entry.errorCount == 3 && entry.submissionQueue == 0)
    #expect(entry.commandIdentifier == refused && entry.namespace == 7)
    #expect(entry.parameterLocation == 4)
    #expect(entry.statusField >> 1 == completion.status.rawValue)
    let older = ErrorInformationLogEntry(
      try bench.log(.errorInformation, byteCount: 64, offset: 128))
    #expect(older.errorCount == 1 && older.parameterLocation == 0)
    #expect(try HealthLog(bench.log(.health)).errorLogEntries == 3)
  }

  @Test("E17: admin commands with SGLs, fused or with reserved bits are refused")
  func admission() throws {
    let bench = try bench()
    #expect(try bench.status(.identify, 1, pointerKind: 1) == .invalidField)
    #expect(
      try bench.status(.identify, data: ControllerBench.memoryAddress + 2, 1) == .invalidPRPOffset)
    #expect(try bench.status(.identify, data: 0x7000_0000, 1) ~= .dataTransferError)
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
    let bench = try ControllerBench("queues=4", "queue-depth=128")
    try bench.enable()
    #expect(
      try bench.status(
        .createCompletionQueue, data: bench.rings(1).completion + misalignment,
        identifier | size << 16, attributes) == status)
  }

  @Test("E17: queues are made and deleted in order; what comes out of order is refused")
  func queueOrder() throws {
    let bench = try bench("queues=4")
    let base = bench.rings(1).submission
    let queue: UInt32 = 1 | 63 << 16
    typealias Status = NVMeStatus
    #expect(
      try bench.status(.createSubmissionQueue, data: base, queue, 1 | 1 << 16)
        == .invalidCompletionQueue)
    #expect(
      try bench.status(.createSubmissionQueue, data: base, queue, 1) == .invalidQueueIdentifier)
    try bench.createQueues(1)
    #expect(
      try bench.status(.createCompletionQueue, data: base, queue, 1) == .invalidQueueIdentifier)
    #expect(
      try bench.status(.createSubmissionQueue, data: base, queue, 1 | 1 << 16)
        == .invalidQueueIdentifier)
    #expect(try bench.status(.deleteCompletionQueue, 1) == .invalidQueueDeletion)
    #expect(try bench.status(.deleteSubmissionQueue, 2) == .invalidQueueIdentifier)
    #expect(try bench.status(.deleteSubmissionQueue, 0) == .invalidQueueIdentifier)
    #expect(try bench.status(.deleteSubmissionQueue, 1).isSuccess)
    #expect(try bench.status(.deleteCompletionQueue, 1).isSuccess)
    #expect(try bench.status(.deleteCompletionQueue, 1) == .invalidQueueIdentifier)
    try bench.createQueues(1)
  }

  @Test("E17: I/O queues need the entry sizes in CC")
  func entrySizes() throws {
    let bench = try ControllerBench()
    try bench.enable(0)
    #expect(
      try bench.status(.createCompletionQueue, data: bench.rings(1).completion, 1 | 63 << 16, 1)
        == .invalidQueueSize)
  }

  @Test("E2: features are set, read, and have defaults")
  func features() throws {
    let bench = try bench("queues=8")
    func get(_ identifier: UInt32, select: UInt32 = 0, _ dword11: UInt32 = 0) throws -> UInt32 {
      let entry = try bench.run(.getFeatures, identifier | select << 8, dword11)
      #expect(entry.status.isSuccess)
      return entry.result
    }
    #expect(try bench.run(.setFeatures, 7, 3 | 3 << 16).result == 7 | 7 << 16)
    #expect(try get(7) == 7 | 7 << 16)
    for (identifier, value) in [(1, 0x0102_0304), (5, 9), (8, 0x0203), (10, 1), (0xb, 0x100)]
      as [(UInt32, UInt32)]
    {
      let initial = try get(identifier)
      #expect(try bench.status(.setFeatures, identifier, value).isSuccess)
      #expect(try get(identifier) == value)
      #expect(try get(identifier, select: 1) == initial, "the default")
      #expect(try get(identifier, select: 3) == 4, "changeable")
    }
    #expect(try bench.status(.setFeatures, 9, 3 | 1 << 16).isSuccess)
    #expect(try get(9, 3) == 3 | 1 << 16 && get(9, 4) == 4)
    try bench.disable()
    try bench.enable()
    #expect(try get(5) == 0, "a reset brings the defaults back")
  }

  @Test(
    "E17: features that cannot be set so are refused",
    arguments: [
      (0x8000_0005, 0, 0, .featureNotSaveable), (0x7f, 0, 0, .invalidField),
      (7, 0xffff, 0, .invalidField), (7, 0xffff_0000, 0, .invalidField),
      (2, 1, 0, .invalidField), (9, 65, 0, .invalidField), (4, 2 << 20, 0, .invalidField),
      (1, 0, 1, .featureNotNamespaceSpecific), (1, 0, 9, .invalidNamespaceOrFormat),
      // There is no write cache.
      (6, 1, 0, .invalidField),
    ] as [(UInt32, UInt32, UInt32, NVMeStatus)])
  func badFeature(identifier: UInt32, value: UInt32, namespace: UInt32, status: NVMeStatus) throws {
    let bench = try bench()
    #expect(try bench.status(.setFeatures, namespace: namespace, identifier, value) == status)
  }

  @Test("E17: the number of queues is settled before there are any")
  func queueCountTooLate() throws {
    let bench = try bench()
    try bench.createQueues(1)
    #expect(try bench.status(.setFeatures, 7, 0) == .commandSequenceError)
  }

  @Test("E2: the health log counts what was read and written")
  func health() throws {
    let bench = try bench()
    try bench.createQueues(1)
    for opcode in [IOOpcode.write, .read, .read] {
      try bench.submit(opcode.rawValue, queue: 1, namespace: 1, 0, 0, 7)
      #expect(try bench.completion(queue: 1)?.status.isSuccess == true)
    }
    let log = HealthLog(try bench.log(.health))
    #expect(log.hostWriteCommands == 1 && log.hostReadCommands == 2)
    #expect(log.dataUnitsWritten == 1 && log.temperature == 303 && log.criticalWarning == 0)
  }

  @Test("E17: log pages that do not exist, and offsets beyond them, are refused")
  func badLogs() throws {
    let bench = try bench()
    #expect(try bench.status(.getLogPage, 0x7f | 15 << 16) == .invalidLogPage)
    #expect(try bench.status(.getLogPage, 1 | 15 << 16, 0, 2) == .invalidField)
    #expect(try bench.status(.getLogPage, 3 | 15 << 16, 0, 1024) == .invalidField)
    #expect(try bench.status(.getLogPage, namespace: 1, 2 | 15 << 16) == .invalidField)
    #expect(try FirmwareSlotLog(bench.log(.firmwareSlot)).activeSlot == 1)
    let effects = CommandEffectsLog(try bench.log(.commandEffects, byteCount: 4096))
    #expect(effects[AdminOpcode.identify] == .supported)
    #expect(effects[AdminOpcode.firmwareCommit] == [])
    #expect(effects[IOOpcode.write] == [.supported, .changesBlocks])
  }

  @Test("E2: an event is told once, and again after its log page was read")
  func events() throws {
    let bench = try bench()
    let request = AdminOpcode.asynchronousEventRequest.rawValue
    for _ in 0..<8 { try bench.submit(request) }
    let refused = try bench.submit(request)
    let limit = try #require(try bench.completion())
    #expect(limit.commandIdentifier == refused)
    #expect(limit.status ~= .asynchronousEventRequestLimitExceeded)

    // A doorbell of no queue.
    try bench.store(1, ControllerRegisterOffset.submissionQueueTail(9))
    #expect(try bench.completion()?.result == 0x01_0000)
    try bench.store(999, ControllerRegisterOffset.submissionQueueTail(0))
    #expect(try bench.completion(milliseconds: 20) == nil, "until the log was read")
    _ = try bench.log(.errorInformation, keepsEvent: true)
    #expect(try bench.completion(milliseconds: 20) == nil, "the read keeps the event")
    // The next event arrives with or after the end of the command.
    try bench.submit(
      AdminOpcode.getLogPage.rawValue, namespace: 0xffff_ffff, 1 | 15 << 16)
    let results = try [bench.completion(), bench.completion()].map { try #require($0) }
    #expect(results.map(\.result).contains(0x01_0100))
  }

  @Test("E2: Abort takes an event request back")
  func abort() throws {
    let bench = try bench()
    let event = try bench.submit(AdminOpcode.asynchronousEventRequest.rawValue)
    let abort = try bench.submit(AdminOpcode.abort.rawValue, UInt32(event) << 16)
    let first = try #require(try bench.completion())
    #expect(first.commandIdentifier == event && first.status ~= .abortRequested)
    let second = try #require(try bench.completion())
    #expect(second.commandIdentifier == abort && second.result & 1 == 0)
    #expect(try bench.run(.abort, 0x7777 << 16).result & 1 == 1, "nothing to abort")
    #expect(try bench.status(.abort, 9) == .invalidField)
  }

  @Test("E2: Format NVM changes the block size, empties the namespace and says so")
  func format() throws {
    let bench = try bench()
    #expect(try bench.status(.setFeatures, 0xb, 1 << 8).isSuccess)
    let event = try bench.submit(AdminOpcode.asynchronousEventRequest.rawValue)
    try bench.createQueues(1)
    try bench.memory.store32(0x1234, at: ControllerBench.dataOffset)
    try bench.submit(IOOpcode.write.rawValue, queue: 1, namespace: 1, 0, 0, 0)
    #expect(try bench.completion(queue: 1)?.status.isSuccess == true)
    try bench.submit(AdminOpcode.formatNVM.rawValue, namespace: 1, 1)
    let ends = try [bench.completion(), bench.completion()].map { try #require($0) }
    let notice = try #require(ends.first { $0.commandIdentifier == event })
    #expect(notice.result == 0x04_0002)
    #expect(ends.filter { !$0.status.isSuccess }.isEmpty)
    #expect(try bench.log(.changedNamespaces, byteCount: 8) == [1, 0, 0, 0, 0, 0, 0, 0])
    #expect(try bench.log(.changedNamespaces, byteCount: 8) == [0, 0, 0, 0, 0, 0, 0, 0])
    let data = IdentifyNamespace(try bench.identify(0, namespace: 1))
    #expect(data.blockByteCount == 4096 && data.blockCount == 2048)
    try bench.submit(IOOpcode.read.rawValue, queue: 1, namespace: 1, 0, 0, 0)
    #expect(try bench.completion(queue: 1)?.status.isSuccess == true)
    #expect(try bench.memory.load32(at: ControllerBench.dataOffset) == 0)
    for control in [2, 1 << 4, 1 << 5] as [UInt32] {
      #expect(try bench.status(.formatNVM, namespace: 1, control) == .invalidFormat)
    }
    #expect(try bench.status(.formatNVM, namespace: 1, 2 << 9) == .invalidField)
    #expect(try bench.status(.formatNVM, namespace: 9, 0) == .invalidNamespaceOrFormat)
    #expect(try bench.status(.formatNVM, namespace: 0xffff_ffff, 0).isSuccess)
    #expect(
      try IdentifyNamespace(bench.identify(0, namespace: 1)).blockByteCount == 512)
  }

  @Test("E17: shadow doorbells need two pages")
  func doorbellBuffers() throws {
    let bench = try bench()
    let page = ControllerBench.memoryAddress + 0x8000
    #expect(
      try bench.status(.doorbellBufferConfig, data: page + 4, prp2: page + 0x1000) == .invalidField)
    #expect(try bench.status(.doorbellBufferConfig, data: page, prp2: 0) == .invalidField)
    #expect(try bench.status(.doorbellBufferConfig, data: page, prp2: page + 0x1000).isSuccess)
  }

  @Test("E2: controllers that are given no serial number differ")
  func serialNumbers() throws {
    let storages = try [MemoryStorage(byteCount: 1 << 20), MemoryStorage(byteCount: 2 << 20)]
    let numbers = storages.map { SerialNumber.make(for: [$0]) }
    #expect(Set(numbers).count == 2)
    #expect(numbers.filter { $0.isEmpty || $0.utf8.count > 20 }.isEmpty)
  }
}
