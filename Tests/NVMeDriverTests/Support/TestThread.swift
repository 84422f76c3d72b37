import CVFIOUserLinux

/// A thread of a test, joined before the test ends.
final class TestThread {
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private var thread = pthread_t()
  private var isJoined = false

  init(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Body(body))
    // Safety: the new thread takes over the reference that was retained for it.
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    precondition(result == 0, "no thread for a test")
  }

  func join() {
    guard !isJoined else { return }
    isJoined = true
    _ = pthread_join(thread, nil)
  }

  deinit { join() }
}
