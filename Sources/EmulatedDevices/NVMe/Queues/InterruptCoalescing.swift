/// How many completions one interrupt may tell of, and how long they may wait for it.
///
/// Source: NVMe 1.4, sections 5.21.1.8 and 5.21.1.9.
struct InterruptCoalescing: Sendable, Equatable {
  /// Aggregation Threshold (THR): the number of completions that raises the interrupt, minus one.
  var threshold: UInt8 = 0
  /// Aggregation Time (TIME), in units of 100 microseconds; 0 means no delay at all.
  var hundredMicroseconds: UInt8 = 0
  /// Coalescing Disable (CD) of the queue's vector.
  var isDisabled = false

  /// How long a completion waits at most.
  var time: Duration { .microseconds(Int(hundredMicroseconds) * 100) }

  /// Whether so many completions wait for more.
  func holdsBack(_ count: Int) -> Bool {
    !isDisabled && hundredMicroseconds > 0 && threshold > 0 && count <= Int(threshold)
  }
}
