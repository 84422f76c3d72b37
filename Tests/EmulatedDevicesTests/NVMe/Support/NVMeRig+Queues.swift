import NVMe
import Synchronization
import Testing

@testable import VFIOUser

// Queues: made, filled, rung and emptied.
extension NVMeRig {
  /// Makes a pair of I/O queues.
  func makePair(
    _ identifier: UInt16, entryCount: Int, completionEntryCount: Int? = nil, vector: Int? = nil,
    pageByteCount: Int = 4096
  ) throws -> DriverQueue {
    let completionCount = completionEntryCount ?? entryCount
    let queue = DriverQueue(
      identifier: identifier, entryCount: entryCount, completionEntryCount: completionCount,
      completions: allocate(completionCount * 16, pageByteCount: pageByteCount),
      entries: allocate(entryCount * 64, pageByteCount: pageByteCount))
    try makeCompletionQueue(queue, vector: vector)
    try makeSubmissionQueue(queue)
    return queue
  }

  /// Makes the completion queue of a pair.
  func makeCompletionQueue(_ queue: DriverQueue, vector: Int? = nil) throws {
    let flags = vector.map { UInt32($0) << 16 | 3 } ?? 1
    let size = UInt32(queue.completionEntryCount - 1) << 16
    let made = try run(
      .createCompletionQueue, prp1: address(queue.completions), size | UInt32(queue.identifier),
      flags)
    try #require(made.status == .success)
  }

  /// Makes the submission queue of a pair, whose completion queue is there.
  func makeSubmissionQueue(_ queue: DriverQueue) throws {
    let size = UInt32(queue.entryCount - 1) << 16
    let made = try run(
      .createSubmissionQueue, prp1: address(queue.entries), size | UInt32(queue.identifier),
      UInt32(queue.completionIdentifier) << 16 | 1)
    try #require(made.status == .success)
  }

  /// Deletes a pair of I/O queues.
  func deletePair(_ queue: DriverQueue) throws {
    #expect(try status(.deleteSubmissionQueue, UInt32(queue.identifier)) == .success)
    #expect(try status(.deleteCompletionQueue, UInt32(queue.completionIdentifier)) == .success)
  }

  /// Doorbell Buffer Config.
  func useShadowDoorbells() throws {
    let pages = (values: allocate(4096), indexes: allocate(4096))
    let done = try run(
      .doorbellBufferConfig, prp1: address(pages.values), prp2: address(pages.indexes))
    try #require(done.status == .success)
    shadow = pages
  }

  // MARK: Submission

  /// Writes an entry behind those that the controller knows of; `ring` tells it.
  ///
  /// - Returns: the command's identifier.
  @discardableResult
  func put(_ entry: SubmissionQueueEntry, in queue: DriverQueue) throws -> UInt16 {
    var entry = entry
    entry.commandIdentifier = queue.nextCommand
    queue.nextCommand &+= 1
    for word in 0..<8 {
      try memory.store64(entry.words[word], at: queue.entries + queue.tail * 64 + word * 8)
    }
    queue.tail = (queue.tail + 1) % queue.entryCount
    return entry.commandIdentifier
  }

  /// Reads of one block each.
  func putReads(_ count: Int, in queue: DriverQueue, block: UInt64 = 0) throws {
    let entry = SubmissionQueueEntry(.read, block: block, prp1: Self.base)
    for _ in 0..<count { try put(entry, in: queue) }
  }

  func ring(_ queue: DriverQueue) throws {
    try write(queue.tail, before: queue.rungTail, at: Int(queue.identifier) * 8, queue)
    queue.rungTail = queue.tail
  }

  func ringHead(_ queue: DriverQueue) throws {
    let offset = Int(queue.completionIdentifier) * 8 + 4
    try write(queue.head, before: queue.rungHead, at: offset, queue)
    queue.rungHead = queue.head
  }

  /// Writes a doorbell as drivers do: where it is in memory, only past the event index by an access.
  private func write(_ value: Int, before: Int, at offset: Int, _ queue: DriverQueue) throws {
    if let shadow, queue.identifier != 0 {
      try memory.store32(UInt32(value), at: shadow.values + offset)
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      let index = UInt16(truncatingIfNeeded: try memory.load32(at: shadow.indexes + offset))
      let (new, old) = (UInt16(truncatingIfNeeded: value), UInt16(truncatingIfNeeded: before))
      guard new &- index &- 1 < new &- old else { return }
    }
    if let ringsElsewhere, try ringsElsewhere(UInt32(value), offset) { return }
    ringCount += 1
    try store(UInt32(value), ControllerRegisterOffset.doorbells + UInt64(offset))
  }

  // MARK: Completion

  /// The next completion, if there is one; the doorbell is left alone.
  func next(_ queue: DriverQueue) throws -> CompletionQueueEntry? {
    let place = queue.completions + queue.head * 16
    let high = try memory.load64(at: place + 8)
    guard high >> 48 & 1 == (queue.phase ? 1 : 0) else { return nil }
    queue.head += 1
    if queue.head == queue.completionEntryCount {
      queue.head = 0
      queue.phase.toggle()
    }
    return CompletionQueueEntry(low: try memory.load64(at: place), high: high)
  }

  /// Waits for so many completions; their room is given back at once.
  func reap(
    _ queue: DriverQueue, _ count: Int, _ location: SourceLocation = #_sourceLocation
  ) throws -> [CompletionQueueEntry] {
    var entries: [CompletionQueueEntry] = []
    try wait(location) {
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

  /// The completions that have come, once the device has done what it was asked to.
  func settled(_ queue: DriverQueue) throws -> [CompletionQueueEntry] {
    try settle()
    var entries: [CompletionQueueEntry] = []
    while let entry = try next(queue) { entries.append(entry) }
    return entries
  }
}
