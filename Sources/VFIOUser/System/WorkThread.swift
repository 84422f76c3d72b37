import CVFIOUserLinux

/// A thread that does one piece of work and ends.
///
/// It is waited for when it is let go of, unless it was told to go on alone.
///
/// Threads: made, joined and detached by one owner, at whose death its own thread may be the one that runs.
package final class WorkThread {
  private var thread: pthread_t?

  private final class Work: Sendable {
    private let name: String
    private let body: @Sendable () -> Void

    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }

    func run() {
      // Safety: the call copies the name.
      unsafe cvfu_name_thread(name)
      body()
    }
  }

  /// Starts a thread.
  ///
  /// - Parameters:
  ///   - name: what tools call the thread; the first 15 bytes count.
  ///   - body: the work. It is let go of on the thread, before the thread ends.
  /// - Throws: `EAGAIN` when no thread is left.
  package init(name: String, _ body: @escaping @Sendable () -> Void) throws(Errno) {
    // Safety: the new thread takes over the reference that is retained for it here.
    let argument = unsafe Unmanaged.passRetained(Work(name, body))
    var thread = pthread_t()
    // Safety: the number goes to a local variable; the entry releases the argument exactly once.
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().run()
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

  /// Waits for the end of the work; from the work itself there is no wait. Calling it again does nothing.
  package func join() {
    guard let thread else { return }
    guard pthread_equal(thread, pthread_self()) == 0 else { return detach() }
    self.thread = nil
    // Joined once, and nobody asks for the result.
    _ = pthread_join(thread, nil)
  }

  /// Lets the work go on, and nobody wait for it.
  package func detach() {
    guard let thread else { return }
    self.thread = nil
    pthread_detach(thread)
  }
}
