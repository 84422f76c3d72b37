/// Ends receives that block beyond their time.
///
/// A receive is bounded by its socket's own timeout, which costs nothing. But the server made the
/// socket, and one that keeps a copy can change that timeout: then this thread, which looks at each
/// channel from time to time, closes the channel. It runs while there are channels.
///
/// Threads: any.
final class IORegionWatchdog: @unchecked Sendable {
  static let shared = IORegionWatchdog()

  private struct Watched {
    weak var channel: IORegionChannel?
    let interval: Duration
  }

  private let lock = ConditionLock()
  /// Guarded by `lock`, and so is `isRunning`.
  private var watched: [Watched] = []
  private var isRunning = false

  /// Looks at a channel every `interval` or so, until it is gone.
  func watch(_ channel: IORegionChannel, every interval: Duration) {
    lock.withLock {
      watched.append(Watched(channel: channel, interval: interval))
      if isRunning {
        lock.broadcast()
      } else {
        isRunning = start()
      }
    }
  }

  private func start() -> Bool {
    // Nobody waits for it: it ends when there is nothing to watch, and works on the shared one alone.
    guard let thread = try? WorkThread(name: "ioregionfd", { Self.shared.run() }) else {
      return false
    }
    thread.detach()
    return true
  }

  private func run() {
    lock.lock()
    while true {
      watched.removeAll { $0.channel == nil }
      guard let interval = watched.lazy.map(\.interval).min() else { break }
      _ = lock.wait(until: MonotonicTime.now.advanced(by: max(interval, .milliseconds(100))))
      let now = MonotonicTime.now
      // A channel whose last reference this is would end here, which takes no lock.
      for entry in watched { entry.channel?.endOverdueReceive(at: now) }
    }
    isRunning = false
    lock.unlock()
  }
}
