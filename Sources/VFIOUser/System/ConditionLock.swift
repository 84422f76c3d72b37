import CVFIOUserLinux

/// A lock with a condition to wait for, with a bound on the wait.
///
/// Threads: any. It is not recursive: whoever holds it must not take it again.
@safe
package final class ConditionLock: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>

  package init() {
    // Safety: the memory is this object's alone and stays where it is until deinit, as pthread asks.
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    unsafe pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    // Safety: a local variable, for the time of the calls.
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    // Safety: nobody waits, since a waiter would hold a reference.
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  @inline(__always)
  func lock() {
    // Safety: initialised by init.
    unsafe pthread_mutex_lock(mutex)
  }

  @inline(__always)
  func unlock() {
    // Safety: initialised by init.
    unsafe pthread_mutex_unlock(mutex)
  }

  /// Runs `body` with the lock held.
  @inline(__always)
  package func withLock<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    lock()
    defer { unlock() }
    return try body()
  }

  /// Gives the lock up, waits for `broadcast`, and takes the lock again. It may return early.
  ///
  /// - Returns: false when the time is over.
  func wait(until deadline: MonotonicTime) -> Bool {
    var time = timespec(
      tv_sec: Int(clamping: deadline.nanoseconds / 1_000_000_000),
      tv_nsec: Int(deadline.nanoseconds % 1_000_000_000))
    // Safety: initialised by init; the caller holds the lock.
    return unsafe pthread_cond_timedwait(condition, mutex, &time) == 0
  }

  /// Wakes all waiters.
  @inline(__always)
  func broadcast() {
    // Safety: initialised by init.
    unsafe pthread_cond_broadcast(condition)
  }
}
