/// How an access over a descriptor went.
public enum IORegionOutcome: Equatable, Sendable {
  /// It is done; the value that was read, zero for a write.
  case done(UInt64)
  /// A signal came first; call again.
  case interrupted
  /// It will not be done, and the port is closed.
  case failed(IORegionFailure)
}
