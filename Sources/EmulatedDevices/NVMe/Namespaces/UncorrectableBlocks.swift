import VFIOUser

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

  func insert(_ range: Range<UInt64>) { lock.withLock { set.insert(range) } }

  /// Takes blocks out, and does `whenEmpty` if none is left, before anybody adds one.
  func remove(_ range: Range<UInt64>, whenEmpty: () -> Void) {
    lock.withLock {
      set.remove(range)
      if set.isEmpty { whenEmpty() }
    }
  }

  func removeAll() { lock.withLock { set = BlockRangeSet() } }
}
