/// How an access of a vCPU went.
public enum AccessOutcome: Equatable, Sendable {
  /// It is done: what was read, zero-extended; zero for a write.
  case done(UInt64)
  /// A signal came first, or the device is away and may come back; in this case a moment has passed. Call
  /// again with the same access and progress.
  case interrupted
}
