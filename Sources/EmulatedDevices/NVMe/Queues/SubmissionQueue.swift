import DeviceModel
import NVMe

/// The commands of a driver: a ring in guest memory that the controller empties.
///
/// Threads: confined to its group's loop.
///
/// Source: NVMe 1.4, section 4.1.
final class SubmissionQueue {
  /// Queue identifier; 0 is the admin queue.
  let identifier: UInt16
  let entryCount: Int
  let window: DMAWindow
  let completionQueue: CompletionQueue
  /// Carries out its commands; nil for I/O commands, which the group's executor carries out.
  let handler: (any CommandHandler)?
  /// The entry that is fetched next.
  var head = 0
  /// Up to where the driver has written entries.
  var tail = 0
  /// How many of its commands are being carried out, those in the background left out.
  var inFlight = 0
  /// A request for its next command; the queue has it while commands end as soon as they are fetched.
  var spare: NVMeRequest?
  /// Whether nothing is fetched any more: the queue is being deleted.
  var isStopped = false
  /// Told when a stopped queue has nothing in flight.
  var whenEmpty: (() -> Void)?
  /// Whether the driver's doorbell was found wrong and has not changed since.
  var invalidTail: UInt32?
  private(set) var shadow: ShadowDoorbells?
  /// Whether entries were taken since the driver was told up to where it may go without ringing.
  var owesAnnouncement = false

  /// Where its doorbell lies from the start of the doorbells.
  var doorbellOffset: Int { Int(identifier) * 8 }

  init(
    identifier: UInt16, entryCount: Int, window: DMAWindow, completionQueue: CompletionQueue,
    handler: (any CommandHandler)?
  ) {
    self.identifier = identifier
    self.entryCount = entryCount
    self.window = window
    self.completionQueue = completionQueue
    self.handler = handler
  }

  /// Takes the tail from the driver's memory from now on.
  func use(_ shadow: ShadowDoorbells) {
    try? shadow.values.store32(UInt32(tail), at: doorbellOffset)
    try? shadow.eventIndexes.store32(UInt32(tail), at: doorbellOffset)
    owesAnnouncement = false
    self.shadow = shadow
  }

  /// Takes the next entry out of the ring.
  ///
  /// - Throws: ``DMAError`` when it cannot be read; it stays there then.
  @inline(__always)
  func fetch() throws(DMAError) -> SubmissionQueueEntry {
    let entry = SubmissionQueueEntry(
      words: try window.load64Bytes(at: head &* SubmissionQueueEntry.byteCount))
    let next = head &+ 1
    head = next == entryCount ? 0 : next
    return entry
  }
}
