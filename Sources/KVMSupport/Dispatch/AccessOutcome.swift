/// How an access of a vCPU went.
public enum AccessOutcome: Equatable, Sendable {
  /// It is done: what was read, zero-extended; zero for a write.
  case done(UInt64)
  /// A signal came first: call again with the same access and progress.
  case interrupted
}
