import DeviceModel
import NVMe
import Synchronization

/// What a driver learns of its commands: a ring in guest memory that the controller fills.
///
/// Threads: confined to its group's loop.
///
/// Source: NVMe 1.4, sections 4.1 and 4.6.
final class CompletionQueue {
  /// A completion that finds no room waits for some.
  private struct Parked {
    var queue: SubmissionQueue
    var result: UInt32
    var commandIdentifier: UInt16
    var status: NVMeStatus
  }

  /// Queue identifier; 0 is the admin queue.
  let identifier: UInt16
  let entryCount: Int
  let window: DMAWindow
  /// Its interrupt vector; nil when the driver wants none.
  let vector: Int?
  let trigger: InterruptTrigger?
  let group: QueueGroup
  /// The entry that is written next.
  private(set) var tail = 0
  /// Up to where the driver has read.
  private(set) var head = 0
  /// Completions that the driver has not been interrupted for.
  private(set) var unsignalled = 0
  /// Whether the group looks at it at the end of the batch.
  private var isListed = false
  /// Completions that wait for room, or for the bus, the oldest first.
  private var parked: [Parked] = []
  /// Whether any wait, or have to.
  private(set) var hasParked = false
  private var shadow: ShadowDoorbells?
  var coalescing = InterruptCoalescing()
  private var coalescingTimer: TimerToken?
  private var phase = true
  private var isBroken = false
  /// What the doorbell said that cannot be, until it says something else.
  private var invalidHead: UInt32?
  /// The head that the driver was last told to ring after, where it keeps its doorbells.
  private var announcedHead = 0

  /// Where its doorbell lies from the start of the doorbells.
  var doorbellOffset: Int { Int(identifier) * 8 + 4 }
  /// Whether the driver has not read everything yet.
  var hasUnread: Bool { head != tail }

  init(
    identifier: UInt16, entryCount: Int, window: DMAWindow, vector: Int?,
    trigger: InterruptTrigger?, group: QueueGroup
  ) {
    self.identifier = identifier
    self.entryCount = entryCount
    self.window = window
    self.vector = vector
    self.trigger = trigger
    self.group = group
  }

  /// Tells the driver of the end of a command.
  @inline(__always)
  func post(
    _ queue: SubmissionQueue, result: UInt32, commandIdentifier: UInt16, status: NVMeStatus
  ) {
    if hasParked || !hasRoom() || !write(queue, result, commandIdentifier, status) {
      park(
        Parked(
          queue: queue, result: result, commandIdentifier: commandIdentifier, status: status))
    }
  }

  /// Keeps what is told from now on until the next ``takeHead()`` that may write.
  func hold() { hasParked = true }

  /// Takes the driver's word of how far it has read; parked completions follow.
  ///
  /// - Returns: whether there was room for some of them.
  func takeHead() -> Bool {
    readHead()
    guard hasParked, group.mayTell else { return false }
    var count = 0
    while count < parked.count, hasRoom() {
      let next = parked[count]
      guard write(next.queue, next.result, next.commandIdentifier, next.status) else { break }
      count += 1
    }
    // Writing by messages takes time, in which the queue may have been closed.
    parked.removeFirst(min(count, parked.count))
    hasParked = !parked.isEmpty
    return count > 0
  }

  /// Takes the head from the driver's memory from now on.
  func use(_ shadow: ShadowDoorbells) {
    try? shadow.values.store32(UInt32(head), at: doorbellOffset)
    try? shadow.eventIndexes.store32(UInt32(head), at: doorbellOffset)
    announcedHead = head
    self.shadow = shadow
  }

  /// Forgets parked completions of a queue that is gone.
  func forget(_ queue: SubmissionQueue) {
    parked.removeAll { $0.queue === queue }
    hasParked = !parked.isEmpty
  }

  /// Whether an entry is free: the ring is full when the next entry would meet the head.
  @inline(__always)
  private func hasRoom() -> Bool {
    let next = tail &+ 1
    if (next == entryCount ? 0 : next) != head { return true }
    readHead()
    return (next == entryCount ? 0 : next) != head
  }

  @inline(never)
  private func readHead() {
    _ = takeHeadDoorbell()
    guard let shadow, announcedHead != head else { return }
    // The driver writes its head, then reads the index; we write the index, then read the head. A
    // driver that goes on all the time is looked at again later: it rings once it passes the index.
    for _ in 0..<4 {
      announcedHead = head
      try? shadow.eventIndexes.store32(UInt32(head), at: doorbellOffset)
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      guard takeHeadDoorbell() else { return }
    }
    group.ring()
  }

  /// Takes over what the doorbell says. Returns whether it has moved.
  private func takeHeadDoorbell() -> Bool {
    guard let value = group.doorbell(doorbellOffset, shadow), value != head else { return false }
    guard isReachable(value) else {
      if invalidHead != value {
        invalidHead = value
        group.noteInvalidHead()
      }
      return false
    }
    invalidHead = nil
    head = Int(value)
    return true
  }

  /// Whether the driver can have read so far: a head moves over entries that were written.
  private func isReachable(_ value: UInt32) -> Bool {
    guard value < entryCount else { return false }
    let new = Int(value)
    let written = tail >= head ? tail - head : tail + entryCount - head
    let taken = new >= head ? new - head : new + entryCount - head
    return taken <= written
  }

  @inline(never)
  private func park(_ entry: Parked) {
    parked.append(entry)
    hasParked = true
    group.willNeedHead(self)
  }

  /// Writes an entry; false while the bus does not let it through.
  @inline(__always)
  private func write(
    _ queue: SubmissionQueue, _ result: UInt32, _ commandIdentifier: UInt16,
    _ status: NVMeStatus
  ) -> Bool {
    let entry = CompletionQueueEntry(
      result: result, submissionQueueHead: UInt16(truncatingIfNeeded: queue.head),
      submissionQueue: queue.identifier, commandIdentifier: commandIdentifier, phase: phase,
      status: status)
    do {
      try window.store16Bytes(
        entry.low, entry.high, at: tail &* CompletionQueueEntry.byteCount)
    } catch {
      return failed(error)
    }
    tail &+= 1
    if tail == entryCount {
      tail = 0
      phase.toggle()
    }
    unsignalled &+= 1
    if !isListed {
      isListed = true
      group.willSignal(self)
    }
    return true
  }

  @inline(never)
  private func failed(_ error: DMAError) -> Bool {
    // Without bus mastering, and with a client that has gone, it waits.
    guard error.code != .disabled, error.code != .cancelled else { return false }
    if !isBroken {
      isBroken = true
      group.fail("completion queue \(identifier) cannot be written: \(error)")
    }
    return true
  }

  // MARK: Interrupts

  /// Interrupts the driver for what was posted, now or together with what follows.
  func signal() {
    isListed = false
    guard unsignalled > 0 else { return }
    guard let trigger else {
      unsignalled = 0
      return
    }
    if coalescing.holdsBack(unsignalled), identifier != 0 {
      guard coalescingTimer == nil else { return }
      coalescingTimer = group.loop.schedule(after: coalescing.time) { [weak self] in
        guard let self else { return }
        coalescingTimer = nil
        raise(trigger)
      }
      return
    }
    raise(trigger)
  }

  private func raise(_ trigger: InterruptTrigger) {
    if let coalescingTimer { group.loop.cancel(coalescingTimer) }
    coalescingTimer = nil
    guard unsignalled > 0 else { return }
    unsignalled = 0
    trigger.raise()
  }

  /// Ends what is still to come; the queue is going away.
  func close() {
    if let coalescingTimer { group.loop.cancel(coalescingTimer) }
    coalescingTimer = nil
    parked = []
    hasParked = false
    unsignalled = 0
  }
}
