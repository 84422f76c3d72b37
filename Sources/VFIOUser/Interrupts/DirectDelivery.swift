/// Lets other loops deliver one vector while nothing stands in its way.
///
/// The device's loop opens and shuts it, and holds the only truth about masks and what is pending. A
/// delivery happens under the lock: once `shut` has returned, none is in progress, and the eventfd may
/// be closed.
///
/// Threads: `deliver` from any; the rest from the device's loop.
final class DirectDelivery: @unchecked Sendable {
  private let lock = ConditionLock()
  /// Where the client is told, while it may be told at once. Guarded by `lock`.
  private var event: EventDescriptorBox?
  /// Guarded by `lock`.
  private var count: UInt64 = 0

  /// How often the vector was delivered here.
  var deliveredCount: UInt64 { lock.withLock { count } }

  /// Lets deliveries go to `event`; nil shuts it.
  func open(_ event: EventDescriptorBox?) {
    // The old one is released outside the lock, when this returns.
    let old = lock.withLock {
      let old = self.event
      self.event = event
      return old
    }
    _ = consume old
  }

  /// Tells the client, unless it is shut. Returns whether it did.
  func deliver() -> Bool {
    lock.withLock {
      guard let event else { return false }
      event.event.signal()
      count &+= 1
      return true
    }
  }
}
