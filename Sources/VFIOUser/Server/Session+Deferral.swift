/// The access whose handler is running.
struct AccessInProgress {
  var header = MessageHeader(messageID: 0, command: .version, byteCount: 0)
  var access = RegionAccess(offset: RegionOffset(0), region: 0, count: 0)
  var isRead = false
  var isPosted = false
  var isConcurrent = false
  /// Whether the handler has not returned yet: afterwards its context defers nothing any more.
  var isRunning = false
  /// Whether a reset leaves it alone, because it asked for the reset.
  var survivesReset = false
  /// The slot that `deferReply` took, if it was called.
  var slot: UInt64?
}

/// Accesses that wait for their device, each under a number that is never used again.
struct DeferredAccesses {
  private var accesses: [UInt64: AccessInProgress] = [:]
  private var next: UInt64 = 1

  mutating func add(_ access: AccessInProgress) -> UInt64 {
    let slot = next
    next += 1
    accesses[slot] = access
    return slot
  }

  mutating func take(_ slot: UInt64) -> AccessInProgress? { accesses.removeValue(forKey: slot) }

  /// Whether the access in `slot` asked for a reset itself.
  func survivesReset(_ slot: UInt64) -> Bool { accesses[slot]?.survivesReset ?? false }

  mutating func removeAll() { accesses = [:] }

  /// The slots in the order in which their accesses arrived.
  var slots: [UInt64] { accesses.keys.sorted() }
}

extension Session: AccessDeferral {
  func deferReply(survivesReset: Bool) -> DeferredReply? {
    guard current.isRunning, current.slot == nil else { return nil }
    current.survivesReset = survivesReset
    if let region = host.regions[Int(current.access.region)]?.region,
      let range = region.range(containing: current.access.offset.rawValue)
    {
      current.isConcurrent = range.isConcurrent
    }
    return beginDeferral()
  }

  /// Sets the access in progress aside and returns what completes it.
  func beginDeferral() -> DeferredReply? {
    let slot = deferred.add(current)
    current.slot = slot
    if !current.isConcurrent { addHold() }
    let loop = host.loop
    let target = LoopConfined(WeakSession(self))
    return DeferredReply { outcome in
      if loop.isCurrent {
        target.value.session?.finishDeferred(slot, outcome)
      } else {
        loop.post { target.value.session?.finishDeferred(slot, outcome) }
      }
    }
  }

  /// After a handler returned: whether its reply was taken out of its hands.
  @inline(__always)
  func isDeferred(_ failure: Errno?) -> Bool {
    current.isRunning = false
    guard let slot = current.slot else { return false }
    current.slot = nil
    // A handler that deferred and then threw has answered after all.
    if let failure { finishDeferred(slot, .failed(failure)) }
    return true
  }

  func finishDeferred(_ slot: UInt64, _ outcome: DeferredOutcome) {
    // Voided by a reset, a disconnect or an earlier completion: nobody waits any more.
    guard end == nil, let access = deferred.take(slot) else { return }
    answer(access, outcome)
    if !access.isConcurrent { releaseHold() }
  }

  /// Answers every deferred access with `error`, so that late completions find nothing.
  ///
  /// - Parameter isReset: whether a reset is the cause, which spares the access that asked for it.
  func voidDeferredAccesses(answering error: Errno, isReset: Bool = false) {
    for slot in deferred.slots where !(isReset && deferred.survivesReset(slot)) {
      finishDeferred(slot, .failed(error))
    }
  }

  private func answer(_ deferred: AccessInProgress, _ outcome: DeferredOutcome) {
    guard !deferred.isPosted, deferred.header.wantsReply else { return }
    switch outcome {
    case .failed(let error): refuse(deferred.header, error)
    case .done(let bytes):
      guard deferred.isRead else { return sendAccessReply(deferred.header, deferred.access) }
      let count = Int(deferred.access.count)
      var reply = [UInt8](
        repeating: 0, count: MessageHeader.byteCount + RegionAccess.fixedByteCount + count)
      let total = reply.count
      reply.withMutableRawSpan { span in
        try? MessageHeader.reply(
          to: deferred.header, payloadByteCount: total - MessageHeader.byteCount
        ).encode(into: &span)
        try? deferred.access.encode(into: &span, at: MessageHeader.byteCount)
        try? span.store(
          bytes: bytes.rawSpan.extracting(first: min(count, bytes.count)), at: total - count)
      }
      do throws(Errno) {
        try channel.send(reply.rawSpan)
        if !channel.backlog.isEmpty { noteInterest() }
      } catch { sendFailed(error) }
    }
  }
}

final class WeakSession {
  weak var session: Session?
  init(_ session: Session) { self.session = session }
}
