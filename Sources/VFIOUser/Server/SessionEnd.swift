/// Why a session is over.
public enum SessionEnd: Sendable, Hashable, CustomStringConvertible {
  /// The client closed its end.
  case clientClosed
  /// The server closed it.
  case serverClosed
  /// The client broke the protocol where no reply could mend it.
  case protocolError(String)
  /// The socket failed.
  case failed(Errno)

  static func protocolError(_ text: StaticString) -> SessionEnd { .protocolError("\(text)") }

  /// The reason in words.
  public var description: String {
    switch self {
    case .clientClosed: "the client closed the connection"
    case .serverClosed: "the server closed the connection"
    case .protocolError(let text): "protocol error: \(text)"
    case .failed(let error): "the socket failed: \(error)"
    }
  }
}
