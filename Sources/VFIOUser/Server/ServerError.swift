/// Why a server cannot have its socket; the text is one line and says what to do.
public struct ServerError: Error, Sendable, CustomStringConvertible {
  /// The error of the system behind it.
  public let errno: Errno
  /// One line for the operator.
  public let description: String

  init(_ description: String, _ errno: Errno) {
    self.description = description
    self.errno = errno
  }
}
