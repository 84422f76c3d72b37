public import NVMe
import VFIOUser

/// A submission queue and its completion queue.
///
/// Submit commands, ``ring()`` once for all of them, and reap what has ended. Commands end in any
/// order. Nothing is allocated for a command, and no references are counted: an atomic operation
/// would wait for the entries that were stored before it, whose cache lines the device's processor
/// has.
///
/// ```swift
/// let pair = try controller.makeQueuePair(entryCount: 32)
/// for tag in 0..<16 {
///   var command = disk.command(.read)
///   command.startingBlock = UInt64(tag) * 8
///   command.blockCount = 8
///   try pair.submit(command, data: buffers[tag], tag: tag)
/// }
/// try pair.ring()
/// var ended: [NVMeCompletion] = []
/// while pair.inFlightCount > 0 {
///   try pair.reap(into: &ended, timeout: .seconds(5))
/// }
/// ```
///
/// Threads: one owner; different pairs may have different ones.
///
/// Source: NVMe 1.4, section 4.1.
@safe
public final class NVMeQueuePair {
  /// A command identifier.
  private struct Slot {
    /// What comes back with its completion.
    var tag = 0
    /// Whether a command of that identifier is in flight.
    var isInUse = false
    /// The identifier that is free after this one, while this one is.
    var nextFree: UInt16
  }

  /// Queue identifier; 0 is the admin queue.
  public let identifier: UInt16
  /// How many entries each queue has; one less can be in flight.
  public let entryCount: Int

  let memory: SharedMemory
  /// Whether the device asks for memory by messages, which somebody has to answer.
  let answersMessages: Bool
  let submission: NVMeBuffer
  let completion: NVMeBuffer
  /// A page for the PRP list of each command.
  private let lists: NVMeBuffer
  let registers: ClientRegion
  private let tailOffset: RegionOffset
  private let headOffset: RegionOffset
  /// What the device raises for the completion queue; nil without.
  let interrupt: ClientInterrupt?
  /// Where shadow doorbells and event indexes lie in the memory; nil without.
  private let shadow: (values: Int, indexes: Int)?
  /// What the doorbells are rung by in place of the registers; nil for those.
  private var tailPort: NVMeDoorbellPort?
  private var headPort: NVMeDoorbellPort?
  private var tail = 0
  private var rungTail = 0
  private var head = 0
  private var phase: UInt64 = 1
  /// One for each command identifier: one less than there are entries.
  private let slots: UnsafeMutablePointer<Slot>
  private var firstFree: UInt16 = 0
  private var freeCount: Int
  /// Whether the controller has forgotten the pair, and its memory is another's.
  private(set) var isGone = false

  init(
    identifier: UInt16, entryCount: Int, pool: NVMePool, registers: ClientRegion, stride: UInt64,
    shadow: (values: Int, indexes: Int)?, interrupt: ClientInterrupt?
  ) throws(NVMeDriverError) {
    self.identifier = identifier
    self.entryCount = entryCount
    self.registers = registers
    self.shadow = shadow
    self.interrupt = interrupt
    memory = pool.memory
    answersMessages = !pool.isShared
    submission = try pool.allocate(entryCount * SubmissionQueueEntry.byteCount)
    completion = try pool.allocate(entryCount * CompletionQueueEntry.byteCount)
    lists = try pool.allocate(entryCount * NVMePool.pageByteCount)
    tailOffset = RegionOffset(
      ControllerRegisterOffset.submissionQueueTail(identifier, stride: stride))
    headOffset = RegionOffset(
      ControllerRegisterOffset.completionQueueHead(identifier, stride: stride))
    freeCount = entryCount - 1
    // Safety: owned storage of a trivial type, which `freeAll` initialises.
    unsafe slots = .allocate(capacity: freeCount)
    freeAll()
    // The phase tags of an earlier use would look like completions.
    try completion.write([UInt8](repeating: 0, count: completion.byteCount))
  }

  deinit {
    // Safety: this object's own storage.
    unsafe slots.deallocate()
  }

  private func freeAll() {
    freeCount = entryCount - 1
    firstFree = 0
    for index in 0..<freeCount {
      // Safety: within the storage.
      unsafe (slots + index).initialize(to: Slot(nextFree: UInt16(index + 1)))
    }
  }

  /// Takes what the doorbells are rung by, by their places in the region.
  func connect(
    _ port: (RegionOffset) throws(NVMeDriverError) -> NVMeDoorbellPort
  ) throws(NVMeDriverError) {
    let tail = try port(tailOffset)
    headPort = try port(headOffset)
    tailPort = tail
  }

  /// Gives the memory back; the controller does not use it any more.
  func release(to pool: NVMePool) {
    guard !isGone else { return }
    isGone = true
    freeAll()
    pool.release(submission)
    pool.release(completion)
    pool.release(lists)
  }

  /// How many commands are in flight.
  public var inFlightCount: Int { entryCount - 1 - freeCount }
  /// Whether no further command fits.
  public var isFull: Bool { freeCount == 0 }

  /// What calls on a pair throw that was deleted, or went away with a reset.
  var gone: NVMeDriverError {
    NVMeDriverError(.invalidArgument, "queue pair \(identifier) is gone")
  }

  // MARK: Submitting

  /// Puts a command into the queue; the device learns of it with ``ring()``.
  ///
  /// - Parameters:
  ///   - entry: the command. Its identifier is set here; the rest goes out as it is, right or wrong.
  ///   - tag: comes back with the completion.
  /// - Throws: `invalidArgument` when the queue is full, or went away with a reset.
  public func submit(_ entry: SubmissionQueueEntry, tag: Int = 0) throws(NVMeDriverError) {
    var entry = entry
    entry.commandIdentifier = try takeIdentifier(tag)
    try put(entry)
  }

  /// Puts a command into the queue that moves data: its PRPs are made here.
  ///
  /// - Parameters:
  ///   - entry: as for ``submit(_:tag:)``.
  ///   - data: a part of the driver's memory, at most 2 MiB, starting at a multiple of 4. It belongs
  ///     to the controller until the command has ended.
  ///   - tag: as for ``submit(_:tag:)``.
  /// - Throws: as ``submit(_:tag:)``; `invalidArgument` for more than 2 MiB.
  public func submit(
    _ entry: SubmissionQueueEntry, data: NVMeBuffer, tag: Int = 0
  ) throws(NVMeDriverError) {
    try submit(entry, data: data.address, byteCount: data.byteCount, tag: tag)
  }

  /// The same, by the data's address.
  func submit(
    _ entry: SubmissionQueueEntry, data: DMAAddress, byteCount: Int, tag: Int
  ) throws(NVMeDriverError) {
    var entry = entry
    let identifier = try takeIdentifier(tag)
    entry.commandIdentifier = identifier
    let page = UInt64(NVMePool.pageByteCount)
    let start = data.rawValue
    entry.prp1 = start
    let first = page - start % page
    let left = byteCount - Int(first)
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
      _ = giveBack(UInt16(slot))
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
    guard !isGone else { throw gone }
    guard freeCount > 0 else {
      throw NVMeDriverError(.invalidArgument, "queue \(self.identifier) is full")
    }
    let identifier = firstFree
    // Safety: while some are free, the first is a slot's index.
    let slot = unsafe slots + Int(identifier)
    firstFree = unsafe slot.pointee.nextFree
    unsafe slot.pointee.tag = tag
    unsafe slot.pointee.isInUse = true
    freeCount &-= 1
    return identifier
  }

  /// Takes an identifier back: its tag, or nil when no such command is in flight.
  private func giveBack(_ identifier: UInt16) -> Int? {
    guard Int(identifier) < entryCount - 1 else { return nil }
    // Safety: within the storage.
    let slot = unsafe slots + Int(identifier)
    guard unsafe slot.pointee.isInUse else { return nil }
    unsafe slot.pointee.isInUse = false
    unsafe slot.pointee.nextFree = firstFree
    firstFree = identifier
    freeCount &+= 1
    return unsafe slot.pointee.tag
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
  /// - Throws: `connection` when that is over, `invalidArgument` when the pair is gone.
  public func ring() throws(NVMeDriverError) {
    guard !isGone else { throw gone }
    guard tail != rungTail else { return }
    let old = rungTail
    rungTail = tail
    try ring(UInt32(tail), from: UInt32(old), tailOffset, tailPort)
  }

  private func ring(
    _ value: UInt32, from old: UInt32, _ offset: RegionOffset, _ port: NVMeDoorbellPort?
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
      if let port { return try port.ring(value, at: offset) }
      try registers.post(value, at: offset)
    } catch let error as NVMeDriverError {
      throw error
    } catch {
      throw NVMeDriverError(.connection, "cannot ring a doorbell: \(error)")
    }
  }

  // MARK: Reaping

  /// Adds the commands that have ended to `completions`; does not wait.
  ///
  /// - Returns: how many there were.
  /// - Throws: `connection` when a doorbell cannot be rung, `invalidCompletion` when the device names a
  ///   command that is not in flight, `invalidArgument` when the pair is gone. A device that is not
  ///   there any more goes unnoticed: that is for ``reap(into:timeout:)``.
  @discardableResult
  public func reap(into completions: inout [NVMeCompletion]) throws(NVMeDriverError) -> Int {
    guard !isGone else { throw gone }
    if answersMessages { try answerMessages() }
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
        guard let tag = giveBack(identifier) else {
          throw NVMeDriverError(
            .invalidCompletion,
            "the device completes command \(identifier), which is not in flight")
        }
        completions.append(
          NVMeCompletion(tag: tag, status: entry.status, result: entry.result))
      }
    } catch let error as NVMeDriverError {
      throw error
    } catch {
      throw NVMeDriverError(.connection, "the queue's memory is gone: \(error)")
    }
    if count > 0 { try ring(UInt32(head), from: UInt32(before), headOffset, headPort) }
    return count
  }

  private func answerMessages() throws(NVMeDriverError) {
    do throws(ClientError) { try registers.client.process() } catch {
      throw NVMeDriverError(error, "the device's accesses to memory")
    }
  }

  /// Spends a moment between two looks.
  func pause() { MemoryBarrier.pause() }

  /// Forgets what is in flight: the controller was reset.
  func reset() throws(NVMeDriverError) {
    tail = 0
    rungTail = 0
    head = 0
    phase = 1
    freeAll()
    try completion.write([UInt8](repeating: 0, count: completion.byteCount))
  }
}
