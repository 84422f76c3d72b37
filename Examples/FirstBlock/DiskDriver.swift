import NVMe
import VFIOUser

/// A driver for an NVMe disk on the client library alone, to show what a driver does.
///
/// It carries out one command at a time. The module NVMeDriver does the same in earnest.
///
/// Threads: one owner.
final class DiskDriver {
  /// A submission queue and its completion queue, by where they lie in the driver's memory.
  struct Queue {
    static let entryCount = 8
    let identifier: UInt16
    let submission: Int
    let completion: Int
    /// The entry that the driver writes next, and the one that it looks at next.
    var tail = 0
    var head = 0
    /// The phase tag of completions that are new; it changes with each round.
    var phase = true
  }

  /// Where the device finds the driver's memory.
  private static let base: UInt64 = 0x1_0000_0000
  private static let dataOffset = 0x4000

  private let client: DeviceClient
  private let registers: ClientRegion
  private let memory: SharedMemory
  private let interrupt: ClientInterrupt
  private let stride: UInt64
  private var admin = Queue(identifier: 0, submission: 0, completion: 0x1000)
  private var io = Queue(identifier: 1, submission: 0x2000, completion: 0x3000)

  init(path: String) throws {
    client = try DeviceClient.connect(path: path)
    registers = try client.region(at: 0)
    let configuration = try client.region(at: 7)
    let classCode: UInt32 = try configuration.read(at: RegionOffset(8))
    guard classCode >> 8 == 0x01_0802 else { throw Errno.noSuchAddressOrDevice }

    try client.reset()
    let capabilities = ControllerCapabilities(
      rawValue: try registers.read(at: RegionOffset(ControllerRegisterOffset.capabilities)))
    stride = 4 << UInt64(capabilities.doorbellStride)

    memory = try SharedMemory(byteCount: 0x8000, name: "first-block")
    try client.mapMemory(memory, at: DMAAddress(Self.base))
    // Memory space and bus master.
    try configuration.write(UInt16(0x6), at: RegionOffset(4))

    interrupt = try client.enableInterrupts(index: 0, count: 1)[0]

    try enable()
    try makeQueue()
  }

  /// Has the controller take the admin queues, and waits until it is ready.
  private func enable() throws {
    let last = UInt32(Queue.entryCount - 1)
    try write(last | last << 16, ControllerRegisterOffset.adminQueueAttributes)
    try write(address(admin.submission), ControllerRegisterOffset.adminSubmissionQueue)
    try write(address(admin.completion), ControllerRegisterOffset.adminCompletionQueue)
    var wanted = ControllerConfiguration(rawValue: 0)
    wanted.submissionEntryShift = 6
    wanted.completionEntryShift = 4
    wanted.isEnabled = true
    try write(wanted.rawValue, ControllerRegisterOffset.configuration)
    let deadline = ContinuousClock.now + .seconds(10)
    while true {
      let status = ControllerStatus(
        rawValue: try registers.read(at: RegionOffset(ControllerRegisterOffset.status)))
      if status.isReady { return }
      guard !status.isFatal, ContinuousClock.now < deadline else { throw Errno.ioError }
    }
  }

  /// Makes a pair of queues for reads, which interrupts by vector 0 as the admin queue does.
  private func makeQueue() throws {
    let size = UInt32(io.identifier) | UInt32(Queue.entryCount - 1) << 16
    var create = SubmissionQueueEntry()
    create.opcode = AdminOpcode.createCompletionQueue.rawValue
    create.prp1 = address(io.completion)
    create.dword10 = size
    // Contiguous, with interrupts.
    create.dword11 = 1 | 2
    try execute(create, on: &admin)
    create.opcode = AdminOpcode.createSubmissionQueue.rawValue
    create.prp1 = address(io.submission)
    create.dword11 = 1 | UInt32(io.identifier) << 16
    try execute(create, on: &admin)
  }

  /// Reads the first block of namespace 1.
  func readFirstBlock() throws -> [UInt8] {
    var command = SubmissionQueueEntry()
    command.opcode = AdminOpcode.identify.rawValue
    command.namespaceIdentifier = 1
    command.prp1 = address(Self.dataOffset)
    try execute(command, on: &admin)
    let namespace = IdentifyNamespace(try data(4096))

    command.opcode = IOOpcode.read.rawValue
    command.startingBlock = 0
    command.blockCount = 1
    try execute(command, on: &io)
    return try data(min(namespace.blockByteCount, 4096))
  }

  /// Carries out a command and waits for its end.
  private func execute(_ command: SubmissionQueueEntry, on queue: inout Queue) throws {
    var entry = command
    entry.commandIdentifier = UInt16(queue.tail)
    let place = queue.submission + queue.tail * SubmissionQueueEntry.byteCount
    for index in 0..<8 { try memory.store64(entry.words[index], at: place + index * 8) }
    queue.tail = (queue.tail + 1) % Queue.entryCount
    try registers.post(
      UInt32(queue.tail),
      at: RegionOffset(
        ControllerRegisterOffset.submissionQueueTail(queue.identifier, stride: stride)))

    let deadline = ContinuousClock.now + .seconds(10)
    while true {
      let place = queue.completion + queue.head * CompletionQueueEntry.byteCount
      // The word with the phase first: what it announces is there when it is.
      let high = try memory.load64(at: place + 8)
      let completion = CompletionQueueEntry(low: try memory.load64(at: place), high: high)
      if completion.phase == queue.phase { return try take(completion, from: &queue) }
      guard ContinuousClock.now < deadline else { throw Errno.timedOut }
      _ = interrupt.wait(timeout: .seconds(1))
    }
  }

  /// Gives the entry back to the device, and takes the next interrupt.
  private func take(_ completion: CompletionQueueEntry, from queue: inout Queue) throws {
    queue.head = (queue.head + 1) % Queue.entryCount
    if queue.head == 0 { queue.phase.toggle() }
    try registers.post(
      UInt32(queue.head),
      at: RegionOffset(
        ControllerRegisterOffset.completionQueueHead(queue.identifier, stride: stride)))
    try client.unmaskInterrupts(index: 0)
    guard completion.status.isSuccess else { throw completion.status }
  }

  /// Disables the controller, so that nothing of this driver is left in it.
  func close() throws {
    try write(UInt32(0), ControllerRegisterOffset.configuration)
    client.close()
  }

  private func address(_ offset: Int) -> UInt64 { Self.base + UInt64(offset) }

  private func write<T: FixedWidthInteger>(_ value: T, _ offset: UInt64) throws {
    try registers.write(value, at: RegionOffset(offset))
  }

  /// What a command has put into the driver's memory.
  private func data(_ byteCount: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try bytes.withMutableRawSpan { span in try memory.read(at: Self.dataOffset, into: &span) }
    return bytes
  }
}
