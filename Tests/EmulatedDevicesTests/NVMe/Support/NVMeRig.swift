import BlockStorage
import Foundation
import Logging
import NVMe
import Synchronization
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// A controller on a thread of its own, and just enough of a driver to try its queues.
final class QueueRig {
  static let base: UInt64 = 0x1000_0000
  private static let adminEntryCount = 32

  let client: DeviceClient
  let memory: SharedMemory
  let bar: ClientRegion
  private let isMapped: Bool
  private(set) var admin: DriverQueue
  private let loop: EventLoop
  private let finished = DispatchSemaphore(value: 0)
  private var nextFree = 0x1000
  /// Where the shadow doorbells and the event indexes lie in `memory`, once they are in use.
  private(set) var shadow: (values: Int, indexes: Int)?
  /// How many doorbells were written by an access, or a store to the mapped page.
  var rings = 0

  init(
    polling: PollingMode = .never, _ settings: String..., storage: (any BlockStorage)? = nil,
    mapped: Bool = true
  ) throws {
    var ends: [CInt] = [-1, -1]
    // Safety: the array has room for the two descriptors that the call writes.
    let result = unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
    try #require(result == 0)
    let serverEnd = ends[0]
    let loop = try EventLoop(polling: polling)
    self.loop = loop
    let finished = finished
    var knobs = try KnobValues(device: "nvme", declaring: NVMeDevice.declaration.knobs)
    for setting in settings { try knobs.set(setting) }
    let values = knobs
    let storages = StorageSet([storage ?? NullStorage(byteCount: 1 << 30)])
    Thread.detachNewThread {
      do {
        let function = try PCIFunction(
          NVMeDevice.self, knobs: values, backend: storages, loop: loop,
          logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let host = DeviceHost(device: function, loop: loop, logger: Logger(label: "test"))
        let server = DeviceServer(host: host)
        try server.adopt(OwnedDescriptor(adopting: serverEnd))
        try loop.run()
      } catch {
        Issue.record("the server failed: \(error)")
      }
      finished.signal()
    }
    client = try DeviceClient.connect(adopting: OwnedDescriptor(adopting: ends[1]))
    isMapped = mapped
    memory = try SharedMemory(byteCount: 32 << 20)
    if mapped {
      try client.mapMemory(memory, at: DMAAddress(Self.base))
    } else {
      try client.mapPrivateMemory(memory, at: DMAAddress(Self.base))
    }
    bar = try client.region(at: 0)
    // Memory space and bus master.
    try client.region(at: PCIRegionIndex.configurationSpace)
      .write(UInt16(6), at: RegionOffset(4))
    admin = DriverQueue(identifier: 0, entryCount: 32, completions: 0, entries: 0)
    try enable()
  }

  deinit {
    client.close()
    loop.stop()
    finished.wait()
  }

  // MARK: Memory

  /// Takes pages of guest memory; they are zeros.
  func allocate(_ byteCount: Int) -> Int {
    let place = nextFree
    nextFree += (byteCount + 4095) & ~4095
    precondition(nextFree <= memory.byteCount)
    return place
  }

  func address(_ place: Int) -> UInt64 { Self.base + UInt64(place) }

  func load64(_ place: Int) throws -> UInt64 {
    UInt64(try memory.load32(at: place)) | UInt64(try memory.load32(at: place + 4)) << 32
  }

  func store64(_ value: UInt64, _ place: Int) throws {
    try memory.store32(UInt32(truncatingIfNeeded: value), at: place)
    try memory.store32(UInt32(truncatingIfNeeded: value >> 32), at: place + 4)
  }

  // MARK: The controller

  func enable() throws {
    admin = DriverQueue(
      identifier: 0, entryCount: Self.adminEntryCount, completions: allocate(4096),
      entries: allocate(4096))
    let last = UInt32(Self.adminEntryCount - 1)
    try bar.write(last << 16 | last, at: RegionOffset(0x24))
    try bar.write(address(admin.entries), at: RegionOffset(0x28))
    try bar.write(address(admin.completions), at: RegionOffset(0x30))
    // Entries of 64 and 16 bytes, enabled.
    try bar.write(UInt32(0x0046_0001), at: RegionOffset(0x14))
    try wait { try status & 1 == 1 }
  }

  func disable() throws {
    try bar.write(UInt32(0x0046_0000), at: RegionOffset(0x14))
    try wait { try status & 1 == 0 }
    shadow = nil
  }

  /// Controller Status (CSTS).
  var status: UInt32 { get throws { try bar.read(at: RegionOffset(0x1c)) } }

  /// Looks again and again until `condition` holds, five seconds at most.
  func wait(until condition: () throws -> Bool) throws {
    let end = MonotonicTime.now.advanced(by: .seconds(5))
    while MonotonicTime.now < end {
      if try condition() { return }
      // The server's messages are answered while this waits for a reply.
      if isMapped { usleep(100) } else { _ = try status }
    }
    Issue.record("the condition did not come true within five seconds")
    throw Errno.timedOut
  }

  /// Carries out an admin command.
  @discardableResult
  func execute(
    _ opcode: AdminOpcode, _ dword10: UInt32 = 0, _ dword11: UInt32 = 0, prp1: UInt64 = 0,
    prp2: UInt64 = 0
  ) throws -> CompletionQueueEntry {
    var entry = SubmissionQueueEntry()
    entry.opcode = opcode.rawValue
    entry.prp1 = prp1
    entry.prp2 = prp2
    entry.dword10 = dword10
    entry.dword11 = dword11
    try put(entry, in: admin)
    try ring(admin)
    return try reap(admin, 1)[0]
  }

  /// Makes a pair of I/O queues.
  func makePair(
    _ identifier: UInt16, entryCount: Int, completionEntryCount: Int? = nil, vector: Int? = nil
  ) throws -> DriverQueue {
    let completionCount = completionEntryCount ?? entryCount
    let queue = DriverQueue(
      identifier: identifier, entryCount: entryCount, completionEntryCount: completionCount,
      completions: allocate(completionCount * 16), entries: allocate(entryCount * 64))
    let flags = vector.map { UInt32($0) << 16 | 3 } ?? 1
    let first = try execute(
      .createCompletionQueue, UInt32(completionCount - 1) << 16 | UInt32(identifier), flags,
      prp1: address(queue.completions))
    #expect(first.status.isSuccess)
    try makeSubmissionQueue(queue)
    return queue
  }

  /// Makes the submission queue of a pair, whose completion queue is there.
  func makeSubmissionQueue(_ queue: DriverQueue) throws {
    let made = try execute(
      .createSubmissionQueue, UInt32(queue.entryCount - 1) << 16 | UInt32(queue.identifier),
      UInt32(queue.completionIdentifier) << 16 | 1, prp1: address(queue.entries))
    #expect(made.status.isSuccess)
  }

  /// Doorbell Buffer Config.
  func useShadowDoorbells() throws {
    let pages = (values: allocate(4096), indexes: allocate(4096))
    let done = try execute(
      .doorbellBufferConfig, prp1: address(pages.values), prp2: address(pages.indexes))
    try #require(done.status.isSuccess)
    shadow = pages
  }

  // MARK: Queues

  /// Writes an entry behind those that the controller knows of; `ring` tells it.
  func put(_ entry: SubmissionQueueEntry, in queue: DriverQueue) throws {
    var entry = entry
    entry.commandIdentifier = queue.nextCommand
    queue.nextCommand &+= 1
    for word in 0..<8 {
      try store64(entry.words[word], queue.entries + queue.tail * 64 + word * 8)
    }
    queue.tail = (queue.tail + 1) % queue.entryCount
  }

  /// Reads of one block each.
  func putReads(_ count: Int, in queue: DriverQueue, block: UInt64 = 0) throws {
    var entry = SubmissionQueueEntry()
    entry.opcode = IOOpcode.read.rawValue
    entry.namespaceIdentifier = 1
    entry.prp1 = Self.base
    entry.startingBlock = block
    for _ in 0..<count { try put(entry, in: queue) }
  }

  func ring(_ queue: DriverQueue) throws {
    try write(queue.tail, before: queue.rung, at: Int(queue.identifier) * 8, queue)
    queue.rung = queue.tail
  }

  func ringHead(_ queue: DriverQueue) throws {
    let offset = Int(queue.completionIdentifier) * 8 + 4
    try write(queue.head, before: queue.rungHead, at: offset, queue)
    queue.rungHead = queue.head
  }

  /// Writes a doorbell as drivers do: where it is in memory, only past the event index by an access.
  private func write(
    _ value: Int, before: Int, at offset: Int, _ queue: DriverQueue
  ) throws {
    if let shadow, queue.identifier != 0 {
      try memory.store32(UInt32(value), at: shadow.values + offset)
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      let index = UInt16(truncatingIfNeeded: try memory.load32(at: shadow.indexes + offset))
      let (new, old) = (UInt16(truncatingIfNeeded: value), UInt16(truncatingIfNeeded: before))
      guard new &- index &- 1 < new &- old else { return }
    }
    rings += 1
    try bar.write(UInt32(value), at: RegionOffset(0x1000 + UInt64(offset)))
  }

  /// The next completion, if there is one; the doorbell is left alone.
  func next(_ queue: DriverQueue) throws -> CompletionQueueEntry? {
    let place = queue.completions + queue.head * 16
    let high = try load64(place + 8)
    guard high >> 48 & 1 == (queue.phase ? 1 : 0) else { return nil }
    queue.head += 1
    if queue.head == queue.completionEntryCount {
      queue.head = 0
      queue.phase.toggle()
    }
    return CompletionQueueEntry(low: try load64(place), high: high)
  }

  /// Waits for so many completions; their room is given back at once.
  func reap(_ queue: DriverQueue, _ count: Int) throws -> [CompletionQueueEntry] {
    var entries: [CompletionQueueEntry] = []
    try wait {
      var isNew = false
      while entries.count < count, let entry = try next(queue) {
        entries.append(entry)
        isNew = true
      }
      if isNew { try ringHead(queue) }
      return entries.count == count
    }
    return entries
  }
}

/// A submission queue and its completion queue, as a driver keeps them.
final class DriverQueue {
  let identifier: UInt16
  let entryCount: Int
  let completionEntryCount: Int
  var completionIdentifier: UInt16
  /// Where the rings lie in the rig's memory.
  let completions: Int
  let entries: Int
  var tail = 0
  var rung = 0
  var head = 0
  var rungHead = 0
  var phase = true
  var nextCommand: UInt16 = 0

  init(
    identifier: UInt16, entryCount: Int, completionEntryCount: Int? = nil, completions: Int,
    entries: Int
  ) {
    self.identifier = identifier
    self.entryCount = entryCount
    self.completionEntryCount = completionEntryCount ?? entryCount
    completionIdentifier = identifier
    self.completions = completions
    self.entries = entries
  }
}
