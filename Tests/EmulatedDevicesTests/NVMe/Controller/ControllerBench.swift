import BlockStorage
import Foundation
import Logging
import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// An `nvme` served on a thread of its own, a client on a socket to it, and the least of a driver.
final class ControllerBench {
  /// Where guest memory begins; offsets below are from there.
  static let memoryAddress: UInt64 = 0x100_0000
  static let memoryByteCount = 4 << 20
  private static let submissionOffset = 0
  private static let completionOffset = 0x2000
  /// Where commands that read or write a page find it.
  static let dataOffset = 0x4000
  private static let queueOffset = 0x10000
  private static let entryCount = 64

  let memory: SharedMemory
  private(set) var client: DeviceClient
  private(set) var registers: ClientRegion
  private let loop: EventLoop
  private let path: String
  private let finished = DispatchSemaphore(value: 0)
  private var queues: [UInt16: (tail: Int, head: Int, phase: Bool)] = [:]
  private var nextCommand: UInt16 = 1

  /// - Parameter settings: of knobs.
  init(
    _ settings: String..., storages: [any BlockStorage]? = nil, polling: PollingMode = .never
  ) throws {
    let storages = try storages ?? [MemoryStorage(byteCount: 8 << 20)]
    let loop = try EventLoop(polling: polling)
    self.loop = loop
    let path = "/tmp/nvme-ctrl-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    self.path = path
    let finished = finished
    let listening = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      do {
        var knobs = try KnobValues(device: "nvme", declaring: NVMeDevice.declaration.knobs)
        for setting in settings { try knobs.set(setting) }
        let function = try PCIFunction(
          NVMeDevice.self, knobs: knobs, backend: StorageSet(storages), loop: loop)
        let host = DeviceHost(device: function, loop: loop, logger: Logger(label: "test"))
        let server = DeviceServer(host: host)
        try server.listen(path: path)
        listening.signal()
        try loop.run()
      } catch {
        Issue.record("the server failed: \(error)")
        listening.signal()
      }
      finished.signal()
    }
    listening.wait()
    memory = try SharedMemory(byteCount: Self.memoryByteCount)
    client = try DeviceClient.connect(path: path)
    registers = try client.region(at: 0)
    try attach()
  }

  deinit {
    client.close()
    loop.stop()
    finished.wait()
    // Safety: a C string for the time of the call.
    _ = unsafe unlink(path)
  }

  private func attach() throws {
    try client.mapMemory(memory, at: DMAAddress(Self.memoryAddress))
    try setCommand(6)
  }

  /// Hangs up and comes back.
  func reconnect() throws {
    client.close()
    client = try DeviceClient.connect(path: path)
    registers = try client.region(at: 0)
    try attach()
  }

  /// Writes the PCI command register: 2 memory, 4 bus master.
  func setCommand(_ bits: UInt16) throws {
    try client.region(at: PCIRegionIndex.configurationSpace).write(bits, at: RegionOffset(4))
  }

  // MARK: Registers

  func load(_ offset: UInt64) throws -> UInt32 { try registers.read(at: RegionOffset(offset)) }
  func store(_ value: UInt32, _ offset: UInt64) throws {
    try registers.write(value, at: RegionOffset(offset))
  }

  var status: ControllerStatus {
    get throws { ControllerStatus(rawValue: try load(ControllerRegisterOffset.status)) }
  }

  /// Looks again and again until `condition` holds, two seconds at most.
  func wait(_ location: SourceLocation = #_sourceLocation, until condition: () throws -> Bool)
    throws
  {
    for _ in 0..<2000 {
      if try condition() { return }
      usleep(1000)
    }
    Issue.record("the condition did not come true", sourceLocation: location)
  }

  static let usualConfiguration: UInt32 = 0x0046_0000

  /// Sets the admin queues up and CC.EN; does not wait.
  func startEnable(_ configuration: UInt32 = usualConfiguration, misalignment: UInt32 = 0) throws {
    for offset in stride(from: 0, to: 0x4000, by: 4) { try memory.store32(0, at: offset) }
    queues = [0: (0, 0, true)]
    let count = UInt32(Self.entryCount - 1)
    try store(count | count << 16, ControllerRegisterOffset.adminQueueAttributes)
    try registers.write(
      Self.memoryAddress + UInt64(misalignment),
      at: RegionOffset(ControllerRegisterOffset.adminSubmissionQueue))
    try registers.write(
      Self.memoryAddress + UInt64(Self.completionOffset),
      at: RegionOffset(ControllerRegisterOffset.adminCompletionQueue))
    try store(configuration | 1, ControllerRegisterOffset.configuration)
  }

  func enable(_ configuration: UInt32 = usualConfiguration) throws {
    try startEnable(configuration)
    try wait { try status.isReady }
  }

  func disable() throws {
    try store(Self.usualConfiguration, ControllerRegisterOffset.configuration)
    try wait { try !status.isReady }
  }

  // MARK: Commands

  private func offsets(_ queue: UInt16) -> (submission: Int, completion: Int) {
    queue == 0
      ? (Self.submissionOffset, Self.completionOffset)
      : (Self.queueOffset + Int(queue) * 0x4000, Self.queueOffset + Int(queue) * 0x4000 + 0x2000)
  }

  /// Where an I/O queue's submission and completion ring belong.
  func rings(_ queue: UInt16) -> (submission: UInt64, completion: UInt64) {
    let places = offsets(queue)
    return (
      Self.memoryAddress + UInt64(places.submission), Self.memoryAddress + UInt64(places.completion)
    )
  }

  /// Puts a command into a queue and rings; its identifier.
  @discardableResult
  func submit(
    _ opcode: UInt8, queue: UInt16 = 0, namespace: UInt32 = 0, data: UInt64? = nil,
    prp2: UInt64 = 0, _ dword10: UInt32 = 0, _ dword11: UInt32 = 0, _ dword12: UInt32 = 0,
    _ dword13: UInt32 = 0, pointerKind: UInt8 = 0
  ) throws -> UInt16 {
    var entry = SubmissionQueueEntry()
    entry.opcode = opcode
    entry.dataPointerKind = pointerKind
    entry.commandIdentifier = nextCommand
    nextCommand &+= 1
    entry.namespaceIdentifier = namespace
    entry.prp1 = data ?? Self.memoryAddress + UInt64(Self.dataOffset)
    entry.prp2 = prp2
    entry.dword10 = dword10
    entry.dword11 = dword11
    entry.dword12 = dword12
    entry.dword13 = dword13
    var state = try #require(queues[queue])
    let offset = offsets(queue).submission + state.tail * 64
    for index in 0..<8 {
      try memory.store32(UInt32(truncatingIfNeeded: entry.words[index]), at: offset + index * 8)
      try memory.store32(
        UInt32(truncatingIfNeeded: entry.words[index] >> 32), at: offset + index * 8 + 4)
    }
    state.tail = (state.tail + 1) % Self.entryCount
    queues[queue] = state
    try store(UInt32(state.tail), ControllerRegisterOffset.submissionQueueTail(queue))
    return entry.commandIdentifier
  }

  /// The next completion, or nil when none comes in time.
  func completion(queue: UInt16 = 0, milliseconds: Int = 2000) throws -> CompletionQueueEntry? {
    var state = try #require(queues[queue])
    let offset = offsets(queue).completion + state.head * 16
    for _ in 0...(milliseconds * 5) {
      let last = try memory.load32(at: offset + 12)
      if (last >> 16 & 1 != 0) == state.phase {
        let words = try (0..<4).map { UInt64(try memory.load32(at: offset + $0 * 4)) }
        state.head = (state.head + 1) % Self.entryCount
        if state.head == 0 { state.phase.toggle() }
        queues[queue] = state
        try store(UInt32(state.head), ControllerRegisterOffset.completionQueueHead(queue))
        return CompletionQueueEntry(low: words[0] | words[1] << 32, high: words[2] | words[3] << 32)
      }
      usleep(200)
    }
    return nil
  }

  /// Carries a command out: its completion.
  @discardableResult
  func run(
    _ opcode: AdminOpcode, namespace: UInt32 = 0, data: UInt64? = nil, prp2: UInt64 = 0,
    _ dword10: UInt32 = 0, _ dword11: UInt32 = 0, _ dword12: UInt32 = 0, _ dword13: UInt32 = 0,
    pointerKind: UInt8 = 0
  ) throws -> CompletionQueueEntry {
    let identifier = try submit(
      opcode.rawValue, namespace: namespace, data: data, prp2: prp2, dword10, dword11, dword12,
      dword13, pointerKind: pointerKind)
    let entry = try #require(try completion())
    #expect(entry.commandIdentifier == identifier)
    return entry
  }

  func status(
    _ opcode: AdminOpcode, namespace: UInt32 = 0, data: UInt64? = nil, prp2: UInt64 = 0,
    _ dword10: UInt32 = 0, _ dword11: UInt32 = 0, _ dword12: UInt32 = 0, _ dword13: UInt32 = 0,
    pointerKind: UInt8 = 0
  ) throws -> NVMeStatus {
    let status = try run(
      opcode, namespace: namespace, data: data, prp2: prp2, dword10, dword11, dword12, dword13,
      pointerKind: pointerKind
    ).status
    // A failed command has an entry in the error log, and says so.
    #expect(status.hasMore == !status.isSuccess)
    return NVMeStatus(rawValue: status.rawValue & ~0x2000)
  }

  func data(_ byteCount: Int = 4096) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for offset in stride(from: 0, to: byteCount, by: 4) {
      let word = try memory.load32(at: Self.dataOffset + offset)
      bytes += (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) }
    }
    return bytes
  }

  func identify(_ structure: UInt32, namespace: UInt32 = 0) throws -> [UInt8] {
    #expect(try status(.identify, namespace: namespace, structure).isSuccess)
    return try data()
  }

  func log(
    _ page: LogPageIdentifier, byteCount: Int = 512, offset: UInt32 = 0, keepsEvent: Bool = false,
    namespace: UInt32 = 0xffff_ffff
  ) throws -> [UInt8] {
    let result = try status(
      .getLogPage, namespace: namespace,
      UInt32(page.rawValue) | (keepsEvent ? 1 << 15 : 0) | UInt32(byteCount / 4 - 1) << 16, 0,
      offset)
    #expect(result.isSuccess)
    return try data(byteCount)
  }

  /// Makes an I/O queue pair of 64 entries.
  func createQueues(_ queue: UInt16, vector: UInt32? = nil) throws {
    let rings = rings(queue)
    let size = UInt32(Self.entryCount - 1) << 16
    let interrupt = vector.map { $0 << 16 | 2 } ?? 0
    #expect(
      try status(
        .createCompletionQueue, data: rings.completion, UInt32(queue) | size, 1 | interrupt
      ).isSuccess)
    #expect(
      try status(
        .createSubmissionQueue, data: rings.submission, UInt32(queue) | size,
        1 | UInt32(queue) << 16
      ).isSuccess)
    queues[queue] = (0, 0, true)
  }
}
