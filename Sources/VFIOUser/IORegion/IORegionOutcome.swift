/// How an access over a descriptor went.
public enum IORegionOutcome: Equatable, Sendable {
  /// It is done; the value that was read, zero for a write.
  case done(UInt64)
  /// A signal came first; call again.
  case interrupted
  /// It will not be done, and the port is closed.
  case failed(IORegionFailure)

  /// The same for a port that takes the device's word for nothing: a read has no more bytes than were asked
  /// for, and a write has no value.
  @inline(__always)
  func cut(to command: IORegionCommand) -> IORegionOutcome {
    guard case .done(let data) = self else { return self }
    guard command.operation == .read else { return .done(0) }
    return .done(data.truncated(toByteCount: command.accessByteCount))
  }
}
