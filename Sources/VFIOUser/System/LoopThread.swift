import CVFIOUserLinux

/// A thread that runs an event loop of its own, from its making to `end`.
///
/// Set the loop up through `EventLoop.post`: it runs already.
///
/// Threads: `loop` is for any thread; `end` and the release belong to the one that made it.
public final class LoopThread {
  /// The loop that the thread runs.
  public let loop: EventLoop
  private var thread: pthread_t?

  /// Starts a thread.
  ///
  /// - Parameters:
  ///   - name: what tools call the thread; the first 15 bytes count.
  ///   - polling: how its loop waits for work.
  /// - Throws: `EMFILE` when no descriptor is left, `EAGAIN` when no thread is.
  public init(name: String, polling: PollingMode) throws(Errno) {
    loop = try EventLoop(polling: polling)
    let body = try Body(loop, name)
    // Safety: the new thread takes over the reference that is retained for it here.
    let argument = unsafe Unmanaged.passRetained(body)
    var thread = pthread_t()
    // Safety: the number goes to a local variable; the entry releases the argument exactly once.
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      // Safety: there is no thread that would release it.
      unsafe argument.release()
      throw Errno(rawValue: result)
    }
    self.thread = thread
    body.waitUntilRunning()
  }

  deinit { end() }

  /// Ends the loop and waits for its thread; what was posted and not run yet is dropped.
  ///
  /// The handler in progress is finished first. Calling it again does nothing.
  public func end() {
    guard let thread else { return }
    self.thread = nil
    loop.stop()
    if pthread_equal(thread, pthread_self()) != 0 {
      pthread_detach(thread)
    } else {
      // Joined once, and nobody asks for the result.
      _ = pthread_join(thread, nil)
    }
  }

  /// What the thread does, and how it says that it has begun.
  private final class Body: Sendable {
    private let loop: EventLoop
    private let name: String
    private let started: EventDescriptorBox

    init(_ loop: EventLoop, _ name: String) throws(Errno) {
      self.loop = loop
      self.name = name
      started = EventDescriptorBox(try EventDescriptor())
    }

    func run() {
      // Safety: the call copies the name.
      unsafe cvfu_name_thread(name)
      loop.post { [started] in started.event.signal() }
      // What epoll_wait(2) refuses is our own mistake; the loop just ends then.
      try? loop.run()
      loop.discardPosted()
    }

    func waitUntilRunning() {
      while started.event.wait(timeout: .seconds(1)) == nil {}
    }
  }
}
