import SystemPackage

/// Why bytes of a peer are not the message that they claim to be.
///
/// It is a structure so that codes can be added. `errno` is what a server answers with; a client
/// that meets the error in a reply has no use for it and closes the connection.
public struct WireError: Error, Equatable, Sendable {
  /// The kind of fault.
  public struct Code: RawRepresentable, Hashable, Sendable {
    /// A number that identifies the kind; it never goes on the wire.
    public let rawValue: UInt8

    /// Makes a code from its number.
    public init(rawValue: UInt8) {
      self.rawValue = rawValue
    }

    /// The message ends before the structure does.
    public static let truncated = Code(rawValue: 1)
    /// The message is longer than its content or than a limit allows.
    public static let oversized = Code(rawValue: 2)
    /// The `argsz` field is smaller than the structure, or contradicts the message.
    public static let badArgumentSize = Code(rawValue: 3)
    /// A flag is unknown, or flags exclude each other.
    public static let badFlags = Code(rawValue: 4)
    /// A count is out of range, or contradicts the length of the data.
    public static let badCount = Code(rawValue: 5)
    /// An address or offset range leaves the 64-bit space or its container.
    public static let badRange = Code(rawValue: 6)
    /// Descriptors are missing, too many, or on a message that takes none.
    public static let misplacedDescriptors = Code(rawValue: 7)
    /// The protocol version cannot be served.
    public static let badVersion = Code(rawValue: 8)
    /// The negotiation text is not the JSON that it must be.
    public static let badJSON = Code(rawValue: 9)
    /// A capability has an unusable value, or was never proposed.
    public static let badCapability = Code(rawValue: 10)
    /// The command is unknown or not served.
    public static let unsupportedCommand = Code(rawValue: 11)
    /// The message went in the direction opposite to its command's.
    public static let wrongDirection = Code(rawValue: 12)
    /// The message type is neither command nor reply.
    public static let badMessageType = Code(rawValue: 13)
  }

  /// The kind of fault.
  public var code: Code
  /// The error number that a reply to the faulty command carries.
  public var errno: Errno
  /// Which field or rule, in a few words.
  public var context: StaticString

  /// Makes an error; the error number is EINVAL unless given.
  public init(_ code: Code, _ context: StaticString, errno: Errno = .invalidArgument) {
    self.code = code
    self.errno = errno
    self.context = context
  }

  /// Two errors are equal when code and error number are; the context is for people.
  public static func == (left: WireError, right: WireError) -> Bool {
    left.code == right.code && left.errno == right.errno
  }
}

extension WireError: CustomStringConvertible {
  /// The context and the error number, for logs.
  public var description: String {
    "\(context) (\(errno))"
  }
}
