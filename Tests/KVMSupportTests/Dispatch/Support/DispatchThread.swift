import CVFIOUserLinux
import VFIOUser

/// A thread of a test: a vCPU, or a device.
final class DispatchThread: @unchecked Sendable {
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private var thread = pthread_t()
  private var isJoined = false

  init(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Body(body))
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        // Threads of a dispatch queue, from which this one may come, block all signals.
        var kick = sigset_t()
        sigemptyset(&kick)
        sigaddset(&kick, SIGUSR1)
        pthread_sigmask(CInt(SIG_UNBLOCK), &kick, nil)
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    precondition(result == 0, "no thread for a test")
  }

  /// Sends a signal to the thread, which must not have been joined.
  func signal(_ number: CInt) { _ = pthread_kill(thread, number) }

  func join() {
    guard !isJoined else { return }
    isJoined = true
    _ = pthread_join(thread, nil)
  }

  deinit { join() }

  /// Lets SIGUSR1 interrupt system calls and do nothing else.
  static func installKick() {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in }
    action.sa_flags = 0
    _ = sigaction(SIGUSR1, &action, nil)
  }
}
