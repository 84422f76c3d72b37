/// A thread that runs an event loop of its own, from its making to `end`.
///
/// Set the loop up through `EventLoop.post`: it runs already.
///
/// Threads: `loop` is for any thread; `end` and the release belong to the one that made it.
public final class LoopThread {
  /// The loop that the thread runs.
  public let loop: EventLoop
  private var thread: WorkThread?

  /// Starts a thread.
  ///
  /// - Parameters:
  ///   - name: what tools call the thread; the first 15 bytes count.
  ///   - polling: how its loop waits for work.
  /// - Throws: `EMFILE` when no descriptor is left, `EAGAIN` when no thread is.
  public init(name: String, polling: PollingMode) throws(Errno) {
    loop = try EventLoop(polling: polling)
    let started = EventDescriptorBox(try EventDescriptor())
    thread = try WorkThread(name: name) { [loop] in
      loop.post { started.signal() }
      // What epoll_wait(2) refuses is our own mistake; the loop just ends then.
      try? loop.run()
      loop.discardAll()
    }
    while started.event.wait(timeout: .seconds(1)) == nil {}
  }

  deinit { end() }

  /// Ends the loop and waits for its thread; what it would have called and has not yet is dropped.
  ///
  /// The handler in progress is finished first. Calling it again does nothing.
  public func end() {
    guard let thread else { return }
    self.thread = nil
    loop.stop()
    thread.join()
  }
}
