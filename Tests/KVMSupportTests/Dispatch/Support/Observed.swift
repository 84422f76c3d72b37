import CVFIOUserLinux

/// A value that threads of a test share, with a wait for what it becomes.
final class Observed<Value: Sendable>: @unchecked Sendable {
  private var mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var stored: Value

  init(_ value: Value) {
    stored = value
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  var value: Value { update { $0 } }

  @discardableResult
  func update<Result>(_ body: (inout Value) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(condition)
      pthread_mutex_unlock(mutex)
    }
    return body(&stored)
  }

  /// Waits until the value is as it should be; false when it never is.
  func wait(_ condition: (Value) -> Bool) -> Bool {
    var deadline = timespec()
    clock_gettime(CLOCK_REALTIME, &deadline)
    deadline.tv_sec += 60
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !condition(stored) {
      if pthread_cond_timedwait(self.condition, mutex, &deadline) != 0 { return condition(stored) }
    }
    return true
  }
}
