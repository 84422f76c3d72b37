/// Why a client's call failed.
///
/// `rejected` comes from the server and `timedOut` from the clock: the connection goes on. After any
/// of `disconnected` and `protocolViolation` every later call fails in the same way.
public struct ClientError: Error, Equatable, Sendable {
  /// The kind of failure.
  public struct Code: RawRepresentable, Hashable, Sendable {
    /// A number that identifies the kind.
    public let rawValue: UInt8

    /// Makes a code from its number.
    public init(rawValue: UInt8) {
      self.rawValue = rawValue
    }

    /// The server could not be reached.
    public static let connectFailed = Code(rawValue: 1)
    /// The server ended the connection, or this side closed it.
    public static let disconnected = Code(rawValue: 2)
    /// No reply came in time.
    public static let timedOut = Code(rawValue: 3)
    /// The server refused the command; `errno` is what it said.
    public static let rejected = Code(rawValue: 4)
    /// The server sent something that the protocol does not allow; the connection is given up.
    public static let protocolViolation = Code(rawValue: 5)
    /// Version or capabilities cannot be agreed on.
    public static let incompatible = Code(rawValue: 6)
    /// The server did not agree to the feature that the call needs.
    public static let unsupported = Code(rawValue: 7)
    /// The call itself makes no sense for this device; nothing was sent.
    public static let invalidArgument = Code(rawValue: 8)
    /// A system call of this side failed; `errno` says why.
    public static let systemCall = Code(rawValue: 9)
    /// The server did less than was asked for.
    public static let shortTransfer = Code(rawValue: 10)
    /// The server took mapped device memory away.
    public static let memoryLost = Code(rawValue: 11)
    /// Too many replies are outstanding.
    public static let tooManyPending = Code(rawValue: 12)
    /// The connection was lost while the call was in flight: the device may or may not have done it.
    /// Only from `ReconnectingClient`; the next call goes to the new connection.
    public static let interruptedByReconnect = Code(rawValue: 13)
    /// After a loss another device answered. Only from `ReconnectingClient`, and final.
    public static let deviceChanged = Code(rawValue: 14)
    /// The server did not come back in the time that it had. Only from `ReconnectingClient`, and final.
    public static let gaveUp = Code(rawValue: 15)
    /// The server is away and may come back; nothing was sent. Only from `ReconnectingClient` whose calls
    /// do not wait.
    public static let away = Code(rawValue: 16)
  }

  /// The kind of failure.
  public var code: Code
  /// The server's error number when it rejected, the system's when a system call failed, else the
  /// closest one.
  public var errno: Errno
  /// What was being done, or which rule was broken, in a few words.
  public var context: StaticString
  /// Whether the command may have reached the server; false when it certainly was not sent, so that
  /// it can be sent again whatever it does.
  public var mayHaveReachedServer = true

  /// Makes an error.
  public init(_ code: Code, _ errno: Errno, _ context: StaticString) {
    self.code = code
    self.errno = errno
    self.context = context
  }

  /// The violation that a malformed message is.
  init(_ error: WireError) {
    self.init(.protocolViolation, .badMessage, error.context)
  }

  /// The same error of a command that was not sent.
  var unsent: ClientError {
    var copy = self
    copy.mayHaveReachedServer = false
    return copy
  }

  /// The same error of a transfer of which a part was sent before.
  func after(_ doneByteCount: Int) -> ClientError {
    var copy = self
    if doneByteCount > 0 { copy.mayHaveReachedServer = true }
    return copy
  }

  /// Two errors are equal when code and error number are; the context is for people.
  public static func == (left: ClientError, right: ClientError) -> Bool {
    left.code == right.code && left.errno == right.errno
  }

  static let closed = ClientError(.disconnected, .socketNotConnected, "the connection is closed")
  static let lostServer = ClientError(
    .disconnected, .connectionReset, "the server ended the connection")
  /// Of a call that does not wait for a server that may come back.
  package static let away = ClientError(
    .away, .resourceTemporarilyUnavailable, "the server is away"
  ).unsent
  static let late = ClientError(.timedOut, .timedOut, "the server did not reply in time")
}

extension ClientError: CustomStringConvertible {
  /// The context and the error number, for people.
  public var description: String {
    code == .rejected ? "the server refused: \(errno)" : "\(context) (\(errno))"
  }
}
