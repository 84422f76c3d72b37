/// What happens to a `ReconnectingClient`'s connection.
public enum ConnectionEvent: Equatable, Sendable {
  /// The connection is lost, for this reason. Calls wait, or fail where nothing is waited for.
  case lost(ClientError)
  /// The server is tried, for the `number`th time since the loss; the first is 1.
  case attempting(number: Int)
  /// That attempt failed, for this reason; another one follows, or `givenUp`.
  case attemptFailed(ClientError)
  /// The connection is as it was: memory is mapped and interrupts are armed. Whatever the device has
  /// forgotten, its driver has to set up again.
  case restored(attempts: Int)
  /// The connection is over for good; every call throws this error.
  case givenUp(ClientError)
}
