/// Why an access over a descriptor failed.
public enum IORegionFailure: Error, Hashable, Sendable {
  /// The port was closed before the access was sent: it may be carried out in another way.
  case closed
  /// The server closed its end after the access was sent, and did not answer it.
  case lost
  /// The server sent what is no response.
  case garbage
  /// The server did not answer, or did not take the access, in time.
  case timedOut
}

extension IORegionFailure: CustomStringConvertible {
  /// What happened, for people.
  public var description: String {
    switch self {
    case .closed: "the server closed its end"
    case .lost: "the server closed its end with an access in flight"
    case .garbage: "the server sent what is no response"
    case .timedOut: "the server did not answer in time"
    }
  }
}
