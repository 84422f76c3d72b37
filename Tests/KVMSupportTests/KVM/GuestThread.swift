import CVFIOUserLinux
import Synchronization

/// A thread of a test that runs a guest; its result is waited for before the test ends.
final class GuestThread<Result: Sendable>: Sendable {
  private final class State: Sendable {
    let result = Mutex<Result?>(nil)
    let body: @Sendable () -> Result
    init(_ body: @escaping @Sendable () -> Result) { self.body = body }
  }

  private let state: State
  private let thread: pthread_t

  init(_ body: @escaping @Sendable () -> Result) {
    let state = State(body)
    self.state = state
    var thread = pthread_t()
    let work: @Sendable () -> Void = { state.result.withLock { $0 = state.body() } }
    let box = Unmanaged.passRetained(Box(work))
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().work()
        return nil
      }, box.toOpaque())
    precondition(result == 0, "no thread for a test")
    self.thread = thread
  }

  /// Waits for the thread's end; once.
  func join() -> Result {
    _ = pthread_join(thread, nil)
    guard let result = state.result.withLock({ $0 }) else { preconditionFailure("no result") }
    return result
  }
}

private final class Box {
  let work: @Sendable () -> Void
  init(_ work: @escaping @Sendable () -> Void) { self.work = work }
}
