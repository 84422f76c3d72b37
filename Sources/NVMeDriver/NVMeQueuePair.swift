public import NVMe
import VFIOUser

/// How a queue pair rings its doorbells.
public enum NVMeDoorbells: String, Sendable, CaseIterable {
  /// Mapped where the device allows it, else by messages.
  case auto
  /// By stores to the device's page; refused where the device does not offer it.
  case mapped
  /// By a message for each, which nobody waits for.
  case trapped
  /// In memory of the driver, and by messages only where the device asks for them.
  case shadow
}

/// A submission queue and its completion queue.
///
/// Submit commands, ``ring()`` once for all of them, and ``reap(into:)`` what has ended. Nothing is
/// allocated for a command.
///
/// Threads: one owner; different pairs may have different ones.
///
/// Source: NVMe 1.4, section 4.1.
public final class NVMeQueuePair {
  /// Queue identifier; 0 is the admin queue.
  public let identifier: UInt16
  /// How many entries each queue has; one less can be in flight.
  public let entryCount: Int

  let memory: SharedMemory
  let submission: NVMeBuffer
  let completion: NVMeBuffer
  /// A page for the PRP list of each command.
  private let lists: NVMeBuffer
  private let doorbells: ClientRegion
  private let tailOffset: RegionOffset
  private let headOffset: RegionOffset
  private let interrupt: ClientInterrupt?
  /// Where shadow doorbells and event indexes lie in the memory; nil without.
  private let shadow: (values: Int, indexes: Int)?
  private var tail = 0
  private var rungTail = 0
  private var head = 0
  private var phase: UInt64 = 1
  /// The tag of each command identifier in use.
  private var tags: [Int]
  private var isInUse: [Bool]
  private var freeIdentifiers: [UInt16]

  init(
    identifier: UInt16, entryCount: Int, pool: NVMePool, doorbells: ClientRegion, stride: UInt64,
    shadow: (values: Int, indexes: Int)?, interrupt: ClientInterrupt?
  ) throws(NVMeDriverError) {
    self.identifier = identifier
    self.entryCount = entryCount
    self.doorbells = doorbells
    self.shadow = shadow
    self.interrupt = interrupt
    memory = pool.memory
    submission = try pool.allocate(entryCount * SubmissionQueueEntry.byteCount)
    completion = try pool.allocate(entryCount * CompletionQueueEntry.byteCount)
    lists = try pool.allocate(entryCount * NVMePool.pageByteCount)
    tailOffset = RegionOffset(
      ControllerRegisterOffset.submissionQueueTail(identifier, stride: stride))
    headOffset = RegionOffset(
      ControllerRegisterOffset.completionQueueHead(identifier, stride: stride))
    tags = [Int](repeating: 0, count: entryCount)
    isInUse = [Bool](repeating: false, count: entryCount)
    freeIdentifiers = (0..<UInt16(entryCount - 1)).reversed()
    // The phase tags of an earlier use would look like completions.
    try completion.write([UInt8](repeating: 0, count: completion.byteCount))
  }

  func release(to pool: NVMePool) {
    pool.release(submission)
    pool.release(completion)
    pool.release(lists)
  }

  /// How many commands are in flight.
  public var inFlightCount: Int { entryCount - 1 - freeIdentifiers.count }
  /// Whether no further command fits.
  public var isFull: Bool { freeIdentifiers.isEmpty }

  // MARK: Submitting

  /// Puts a command into the queue; the device learns of it with ``ring()``.
  ///
  /// - Parameters:
  ///   - entry: the command. Its identifier is set here; the rest goes out as it is, right or wrong.
  ///   - tag: comes back with the completion.
  /// - Throws: ``NVMeDriverError`` when the queue is full, or its memory is gone.
  public func submit(_ entry: SubmissionQueueEntry, tag: Int = 0) throws(NVMeDriverError) {
    var entry = entry
    entry.commandIdentifier = try takeIdentifier(tag)
    try put(entry)
  }

  /// Puts a command into the queue that moves data: its PRPs are made here.
  ///
  /// - Parameter data: a part of the driver's memory, at most 2 MiB, starting at a multiple of 4.
  /// - Throws: as ``submit(_:tag:)``.
  public func submit(
    _ entry: SubmissionQueueEntry, data: NVMeBuffer, tag: Int = 0
  ) throws(NVMeDriverError) {
    var entry = entry
    let identifier = try takeIdentifier(tag)
    entry.commandIdentifier = identifier
    let page = UInt64(NVMePool.pageByteCount)
    let start = data.address.rawValue
    entry.prp1 = start
    let first = page - start % page
    let left = data.byteCount - Int(first)
    if left > 0 {
      let next = start + first
      if left <= Int(page) {
        entry.prp2 = next
      } else {
        entry.prp2 = try makeList(Int(identifier), next, (left + Int(page) - 1) / Int(page))
      }
    }
    try put(entry)
  }

  private func makeList(
    _ slot: Int, _ address: UInt64, _ count: Int
  ) throws(NVMeDriverError) -> UInt64 {
    guard count <= NVMePool.pageByteCount / 8 else {
      giveBack(UInt16(slot))
      throw NVMeDriverError(.invalidArgument, "a transfer of more than 2 MiB")
    }
    let offset = slot * NVMePool.pageByteCount
    for index in 0..<count {
      try store64(
        address + UInt64(index * NVMePool.pageByteCount), at: lists.offset + offset + index * 8)
    }
    return lists.address.rawValue + UInt64(offset)
  }

  private func takeIdentifier(_ tag: Int) throws(NVMeDriverError) -> UInt16 {
    guard let identifier = freeIdentifiers.popLast() else {
      throw NVMeDriverError(.invalidArgument, "queue \(self.identifier) is full")
    }
    tags[Int(identifier)] = tag
    isInUse[Int(identifier)] = true
    return identifier
  }

  private func giveBack(_ identifier: UInt16) {
    isInUse[Int(identifier)] = false
    freeIdentifiers.append(identifier)
  }

  private func put(_ entry: SubmissionQueueEntry) throws(NVMeDriverError) {
    let offset = submission.offset + tail * SubmissionQueueEntry.byteCount
    var words = entry.words
    for index in 0..<8 { words[index] = words[index].littleEndian }
    do throws(Errno) {
      // Safety: integers have neither padding nor invalid values.
      try memory.write(at: offset, from: unsafe words.span.bytes)
    } catch {
      throw NVMeDriverError(.connection, "the queue's memory is gone: \(error)")
    }
    tail += 1
    if tail == entryCount { tail = 0 }
  }

  private func store64(_ value: UInt64, at offset: Int) throws(NVMeDriverError) {
    do throws(Errno) { try memory.store64(value, at: offset) } catch {
      throw NVMeDriverError(.connection, "the queue's memory is gone: \(error)")
    }
  }

  /// Tells the device of all commands that were submitted since the last time.
  ///
  /// - Throws: ``NVMeDriverError`` when the connection is over.
  public func ring() throws(NVMeDriverError) {
    guard tail != rungTail else { return }
    let old = rungTail
    rungTail = tail
    try ring(UInt32(tail), from: UInt32(old), tailOffset)
  }

  private func ring(
    _ value: UInt32, from old: UInt32, _ offset: RegionOffset
  ) throws(NVMeDriverError) {
    do {
      if let shadow {
        let place = Int(offset.rawValue - ControllerRegisterOffset.doorbells)
        try memory.store32(value, at: shadow.values + place)
        MemoryBarrier.full()
        let index = try memory.load32(at: shadow.indexes + place)
        // Only a value that the device has asked for is worth a message (16-bit arithmetic).
        guard
          UInt16(truncatingIfNeeded: value &- index &- 1) < UInt16(truncatingIfNeeded: value &- old)
        else { return }
      }
      try doorbells.post(value, at: offset)
    } catch {
      throw NVMeDriverError(.connection, "cannot ring a doorbell: \(error)")
    }
  }

  // MARK: Reaping

  /// Adds the commands that have ended to `completions`.
  ///
  /// - Returns: how many there were.
  /// - Throws: ``NVMeDriverError`` when the connection is over or the device names a command that is
  ///   not in flight.
  @discardableResult
  public func reap(into completions: inout [NVMeCompletion]) throws(NVMeDriverError) -> Int {
    let before = head
    var count = 0
    do {
      while count < entryCount {
        let offset = completion.offset + head * CompletionQueueEntry.byteCount
        let high = try memory.load64(at: offset + 8)
        guard high >> 48 & 1 == phase else { break }
        let entry = CompletionQueueEntry(low: try memory.load64(at: offset), high: high)
        head += 1
        if head == entryCount {
          head = 0
          phase ^= 1
        }
        count += 1
        let identifier = entry.commandIdentifier
        guard Int(identifier) < entryCount, isInUse[Int(identifier)] else {
          throw NVMeDriverError(
            .unsupported, "the device completes command \(identifier), which is not in flight")
        }
        completions.append(
          NVMeCompletion(
            tag: tags[Int(identifier)], status: entry.status, result: entry.result))
        giveBack(identifier)
      }
    } catch let error as NVMeDriverError {
      throw error
    } catch {
      throw NVMeDriverError(.connection, "the queue's memory is gone: \(error)")
    }
    if count > 0 { try ring(UInt32(head), from: UInt32(before), headOffset) }
    return count
  }

  /// Waits for the device's interrupt, where the pair was made with one; else yields the processor.
  ///
  /// - Parameter timeout: how long at most.
  public func wait(timeout: Duration) {
    if let interrupt { _ = interrupt.wait(timeout: timeout) } else { MemoryBarrier.yield() }
  }

  /// Spends a moment between two looks.
  func pause() { MemoryBarrier.pause() }

  /// Forgets what is in flight: the controller was reset.
  func reset() throws(NVMeDriverError) {
    tail = 0
    rungTail = 0
    head = 0
    phase = 1
    freeIdentifiers = (0..<UInt16(entryCount - 1)).reversed()
    isInUse = [Bool](repeating: false, count: entryCount)
    try completion.write([UInt8](repeating: 0, count: completion.byteCount))
  }
}
