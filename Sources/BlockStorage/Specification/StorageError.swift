public import VFIOUser

/// Why a storage cannot be used: one line for the person who asked for it.
public struct StorageError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Code: Sendable, Hashable {
    /// The text names no storage.
    case malformed
    /// The host refused: a file that cannot be opened, a server that does not answer.
    case unavailable
  }

  /// What is wrong.
  public let code: Code
  /// The host's answer, where there was one.
  public let errno: Errno?
  /// One line that says what to do.
  public let description: String

  init(_ code: Code, _ description: String, _ errno: Errno? = nil) {
    self.code = code
    self.errno = errno
    self.description = description
  }
}
