import CVFIOUserLinux

/// Whether the monitor looks for a response before it sleeps.
///
/// A device that answers looks for the command itself and needs less than a microsecond, while a wake-up
/// takes tens of them. One that takes longer than the window several times in a row is waited for asleep,
/// and looked at again every now and then, ever less often.
struct MailboxSpin {
  private let mode: PollingMode
  private let maySpin: Bool
  private var misses = 0
  private var skips = 0

  /// The longest look, in nanoseconds.
  static let window: UInt64 = 50_000
  private static let toleratedMisses = 4
  private static let mostMisses = 8

  /// - Parameter mode: `never` to sleep at once, `always` to look until the time is over. With one CPU,
  ///   `adaptive` sleeps at once as well: the device could not run meanwhile.
  init(mode: PollingMode) {
    self.mode = mode
    maySpin = mode == .always || (mode == .adaptive && cvfu_allowed_cpu_count() > 1)
  }

  /// Whether the look has no end of its own.
  var isEndless: Bool { mode == .always }

  /// Whether to look this time.
  @inline(__always)
  mutating func shouldSpin() -> Bool {
    guard maySpin else { return false }
    guard skips > 0 else { return true }
    skips -= 1
    return false
  }

  @inline(__always)
  mutating func noteHit() { misses = 0 }

  mutating func noteMiss() {
    misses = min(misses + 1, Self.mostMisses)
    if misses >= Self.toleratedMisses { skips = 1 << misses }
  }
}
