import CVFIOUserLinux
import VFIOUser

/// A thread that runs one piece of work and ends.
///
/// Threads: made and joined by one owner.
final class CPUThread {
  private var thread: pthread_t?

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// Starts a thread.
  ///
  /// - Throws: `EAGAIN` when no thread is left.
  init(_ body: @escaping @Sendable () -> Void) throws(Errno) {
    // Safety: the new thread takes over the reference that is retained for it here.
    let argument = unsafe Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    // Safety: the number goes to a local variable; the entry releases the argument exactly once.
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      // Safety: there is no thread that would release it.
      unsafe argument.release()
      throw Errno(rawValue: result)
    }
    self.thread = thread
  }

  deinit { join() }

  /// Waits for the end of the work.
  func join() {
    guard let thread else { return }
    self.thread = nil
    // Joined once, and nobody asks for the result.
    _ = pthread_join(thread, nil)
  }
}
