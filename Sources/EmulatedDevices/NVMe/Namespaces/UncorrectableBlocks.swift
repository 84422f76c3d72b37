import DeviceModel

/// Blocks that Write Uncorrectable has made unreadable.
///
/// A pthread lock: thread sanitizer does not see how a contended `Mutex` orders its holders, and calls
/// that a race.
///
/// Threads: any.
final class UncorrectableBlocks: @unchecked Sendable {
  private let lock = ConditionLock()
  /// Guarded by the lock.
  private var set = BlockRangeSet()

  /// The first of the blocks that lies in `range`.
  func first(in range: Range<UInt64>) -> UInt64? { lock.withLock { set.first(in: range) } }

  /// As many ranges as are remembered, so that a driver cannot fill the process's memory.
  static let rangeLimit = 65_536

  /// Adds blocks; false, and nothing is added, when there are as many ranges as there may be.
  func insert(_ range: Range<UInt64>) -> Bool {
    lock.withLock {
      guard set.ranges.count < Self.rangeLimit else { return false }
      set.insert(range)
      return true
    }
  }

  /// Takes blocks out, and does `whenEmpty` if none is left, before anybody adds one.
  func remove(_ range: Range<UInt64>, whenEmpty: () -> Void) {
    lock.withLock {
      set.remove(range)
      if set.isEmpty { whenEmpty() }
    }
  }

  func removeAll() { lock.withLock { set = BlockRangeSet() } }
}
