import CVFIOUserLinux

/// When a loop looks for work before it sleeps, and for how long.
///
/// A wake-up costs 30 to 95 microseconds where this was measured, the work about one. So a loop
/// looks for a while after each message; when that finds nothing several times in a row it stops
/// looking, until work arrives so soon after it fell asleep that looking would have caught it.
struct SpinPolicy {
  private let mode: PollingMode
  private var mayspin = true
  private var misses = 0
  private var lastActivity = MonotonicTime(nanoseconds: 0)

  private static let window = Duration.microseconds(50)
  private static let toleratedMisses = 4

  init(mode: PollingMode) { self.mode = mode }

  /// With one CPU, spinning only keeps the peer from doing the work that we wait for.
  mutating func adoptThread() { mayspin = cvfu_allowed_cpu_count() > 1 }

  var isEndless: Bool { mode == .always }

  var shouldSpin: Bool {
    switch mode {
    case .never: false
    case .always: true
    case .adaptive:
      mayspin && misses < Self.toleratedMisses && lastActivity.nanoseconds != 0
        && !isOver(at: .now)
    }
  }

  func isOver(at now: MonotonicTime) -> Bool {
    mode != .always && now >= lastActivity.advanced(by: Self.window)
  }

  mutating func noteActivity() {
    if mode == .adaptive { lastActivity = .now }
  }

  mutating func noteHit() { misses = 0 }

  mutating func noteMiss() { misses = min(misses + 1, Self.toleratedMisses) }

  /// When the sleep began; nil when nobody wants to know.
  func willSleep() -> MonotonicTime? { mode == .adaptive && mayspin ? .now : nil }

  mutating func didWake(_ asleepSince: MonotonicTime?) {
    guard let asleepSince, misses > 0, lastActivity > asleepSince else { return }
    if lastActivity < asleepSince.advanced(by: Self.window) { misses = 0 }
  }
}
