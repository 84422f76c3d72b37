/// A value that several threads share, and the lock that guards it.
///
/// Used as a `Mutex` is. It is built on a pthread lock, because thread sanitizer does not see how a
/// contended `Mutex` orders its holders, and calls that a race.
///
/// Threads: any. It is not recursive: whoever holds it must not take it again.
package final class Guarded<Value>: @unchecked Sendable {
  private let lock = ConditionLock()
  private var value: Value

  package init(_ value: sending Value) { self.value = value }

  /// Runs `body` with the lock held.
  @inline(__always)
  package func withLock<Result, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try lock.withLock { () throws(Failure) in try body(&value) }
  }
}
