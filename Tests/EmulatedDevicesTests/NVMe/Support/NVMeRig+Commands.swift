import NVMe
import Testing

@testable import VFIOUser

extension SubmissionQueueEntry {
  /// An I/O command for blocks of namespace 1.
  init(
    _ opcode: IOOpcode, block: UInt64 = 0, count: Int = 1, prp1: UInt64 = 0, prp2: UInt64 = 0
  ) {
    self.init()
    self.opcode = opcode.rawValue
    namespaceIdentifier = 1
    startingBlock = block
    blockCount = count
    self.prp1 = prp1
    self.prp2 = prp2
  }
}

extension NVMeStatus {
  /// The status without the More bit.
  var withoutMore: NVMeStatus { NVMeStatus(rawValue: rawValue & ~0x2000) }
}

// Commands, one at a time.
extension NVMeRig {
  /// Where I/O commands find a page for their data, by default.
  static let dataPlace = 0
  /// Where admin commands do.
  static let adminDataPlace = 0x1000
  private static let adminData = base + UInt64(adminDataPlace)

  // MARK: Admin

  /// Puts an admin command into the queue and rings; its identifier.
  @discardableResult
  func submit(
    _ opcode: AdminOpcode, namespace: UInt32 = 0, prp1: UInt64 = adminData, prp2: UInt64 = 0,
    _ dword10: UInt32 = 0, _ dword11: UInt32 = 0, _ dword12: UInt32 = 0, _ dword13: UInt32 = 0,
    pointerKind: UInt8 = 0
  ) throws -> UInt16 {
    var entry = SubmissionQueueEntry()
    entry.opcode = opcode.rawValue
    entry.dataPointerKind = pointerKind
    entry.namespaceIdentifier = namespace
    entry.prp1 = prp1
    entry.prp2 = prp2
    entry.dword10 = dword10
    entry.dword11 = dword11
    entry.dword12 = dword12
    entry.dword13 = dword13
    let identifier = try put(entry, in: admin)
    try ring(admin)
    return identifier
  }

  /// Carries out an admin command, with nothing else in its queue.
  @discardableResult
  func run(
    _ opcode: AdminOpcode, namespace: UInt32 = 0, prp1: UInt64 = adminData, prp2: UInt64 = 0,
    _ dword10: UInt32 = 0, _ dword11: UInt32 = 0, _ dword12: UInt32 = 0, _ dword13: UInt32 = 0,
    pointerKind: UInt8 = 0
  ) throws -> CompletionQueueEntry {
    let identifier = try submit(
      opcode, namespace: namespace, prp1: prp1, prp2: prp2, dword10, dword11, dword12, dword13,
      pointerKind: pointerKind)
    let entry = try reap(admin, 1)[0]
    #expect(entry.commandIdentifier == identifier)
    return entry
  }

  /// Carries out an admin command; its status.
  func status(
    _ opcode: AdminOpcode, namespace: UInt32 = 0, prp1: UInt64 = adminData, prp2: UInt64 = 0,
    _ dword10: UInt32 = 0, _ dword11: UInt32 = 0, _ dword12: UInt32 = 0, _ dword13: UInt32 = 0,
    pointerKind: UInt8 = 0
  ) throws -> NVMeStatus {
    checked(
      try run(
        opcode, namespace: namespace, prp1: prp1, prp2: prp2, dword10, dword11, dword12, dword13,
        pointerKind: pointerKind
      ).status)
  }

  /// A failed command has an entry in the error log, and says so.
  func checked(_ status: NVMeStatus) -> NVMeStatus {
    #expect(status.hasMore == !status.isSuccess)
    return status.withoutMore
  }

  func identify(_ structure: UInt32, namespace: UInt32 = 0) throws -> [UInt8] {
    #expect(try status(.identify, namespace: namespace, structure) == .success)
    return try bytes(Self.adminDataPlace, 4096)
  }

  func log(
    _ page: LogPageIdentifier, byteCount: Int = 512, offset: UInt32 = 0, keepsEvent: Bool = false,
    namespace: UInt32 = 0xffff_ffff
  ) throws -> [UInt8] {
    let result = try status(
      .getLogPage, namespace: namespace,
      UInt32(page.rawValue) | (keepsEvent ? 1 << 15 : 0) | UInt32(byteCount / 4 - 1) << 16, 0,
      offset)
    #expect(result == .success)
    return try bytes(Self.adminDataPlace, byteCount)
  }

  /// The newest entry of the error log.
  var lastError: ErrorInformationLogEntry {
    get throws { ErrorInformationLogEntry(try log(.errorInformation, byteCount: 64)) }
  }

  // MARK: I/O

  /// Carries out an I/O command on queue 1, which is made for the first.
  @discardableResult
  func run(_ entry: SubmissionQueueEntry) throws -> CompletionQueueEntry {
    let queue = try commandQueue()
    let identifier = try put(entry, in: queue)
    try ring(queue)
    let completion = try reap(queue, 1)[0]
    #expect(completion.commandIdentifier == identifier)
    return completion
  }

  /// Carries out an I/O command; its status.
  func status(_ entry: SubmissionQueueEntry) throws -> NVMeStatus {
    checked(try run(entry).status)
  }

  /// Carries out an I/O command that `change` has made special; its status.
  func status(
    _ opcode: IOOpcode, block: UInt64 = 0, count: Int = 1, prp1: UInt64 = base, prp2: UInt64 = 0,
    _ change: (inout SubmissionQueueEntry) -> Void = { _ in }
  ) throws -> NVMeStatus {
    var entry = SubmissionQueueEntry(opcode, block: block, count: count, prp1: prp1, prp2: prp2)
    change(&entry)
    return try status(entry)
  }

  /// The queue of commands that are carried out one at a time.
  func commandQueue() throws -> DriverQueue {
    if let commands { return commands }
    let queue = try makePair(1, entryCount: 64, pageByteCount: 65_536)
    commands = queue
    return queue
  }
}
