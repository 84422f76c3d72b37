/// How a loop waits for work: what it trades between latency and processor time.
public enum PollingMode: String, Sendable, CaseIterable {
  /// Sleep in the kernel at once. A wake-up costs tens of microseconds.
  case never
  /// Look for work for at most 50 microseconds after the last message, then sleep; look less when
  /// that finds nothing, and not at all where only one CPU may be used.
  case adaptive
  /// Look for work without end. Costs one CPU.
  case always
}
