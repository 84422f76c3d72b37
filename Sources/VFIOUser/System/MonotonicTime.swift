import CVFIOUserLinux

/// A moment of the monotonic clock, in nanoseconds.
public struct MonotonicTime: Comparable, Sendable {
  /// Nanoseconds since an arbitrary start.
  public let nanoseconds: UInt64

  /// Makes a moment.
  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// The present.
  public static var now: MonotonicTime {
    MonotonicTime(nanoseconds: cvfu_monotonic_nanoseconds())
  }

  /// Orders moments by time.
  public static func < (left: MonotonicTime, right: MonotonicTime) -> Bool {
    left.nanoseconds < right.nanoseconds
  }

  /// The moment `duration` later; a negative duration counts as zero, a very long one saturates.
  public func advanced(by duration: Duration) -> MonotonicTime {
    let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.clampedNanoseconds)
    return MonotonicTime(nanoseconds: overflow ? .max : sum)
  }

  /// The time from now until this moment; zero when it has passed.
  var remaining: Duration {
    let now = MonotonicTime.now.nanoseconds
    return .nanoseconds(nanoseconds > now ? Int64(clamping: nanoseconds - now) : 0)
  }

  /// Milliseconds from now until this moment, rounded up; 0 when it has passed.
  var remainingMilliseconds: CInt {
    let now = MonotonicTime.now.nanoseconds
    guard nanoseconds > now else { return 0 }
    return CInt(min((nanoseconds - now).dividedRoundingUp(by: 1_000_000), 1_000_000_000))
  }
}

extension Duration {
  /// The duration in nanoseconds, between 0 and 2^62.
  var clampedNanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    guard seconds < 4_000_000_000 else { return 1 << 62 }
    return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
}

extension UInt64 {
  func dividedRoundingUp(by divisor: UInt64) -> UInt64 {
    self / divisor + (self % divisor == 0 ? 0 : 1)
  }
}
