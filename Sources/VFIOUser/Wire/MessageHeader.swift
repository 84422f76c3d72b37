import SystemPackage

/// The 16 bytes at the start of every message.
///
/// Source: vfio-user specification, section "Header".
public struct MessageHeader: Hashable, Sendable {
  /// The length of a header in bytes.
  public static let byteCount = 16

  /// Chosen by the sender of a command and echoed in its reply; not necessarily unique.
  public var messageID: UInt16
  /// What is asked, or what the reply answers.
  public var command: Command
  /// The length of the whole message in bytes, header included.
  public var byteCount: UInt32
  /// Type, No_reply and Error.
  public var flags: MessageFlags
  /// The errno of a failed command; may be zero even then. Reserved in commands.
  public var errorNumber: UInt32

  /// Makes a header; `byteCount` covers header and payload.
  @inline(__always)
  public init(
    messageID: UInt16, command: Command, byteCount: UInt32, flags: MessageFlags = [],
    errorNumber: UInt32 = 0
  ) {
    self.messageID = messageID
    self.command = command
    self.byteCount = byteCount
    self.flags = flags
    self.errorNumber = errorNumber
  }

  /// Makes the header of a message whose payload has `payloadByteCount` bytes.
  @inline(__always)
  public init(
    messageID: UInt16, command: Command, payloadByteCount: Int, flags: MessageFlags = []
  ) {
    self.init(
      messageID: messageID, command: command,
      byteCount: UInt32(truncatingIfNeeded: MessageHeader.byteCount &+ payloadByteCount),
      flags: flags)
  }

  /// Decodes the header at the start of `bytes`.
  ///
  /// Throws `truncated` when there are fewer than 16 bytes or when the message claims to be shorter
  /// than its own header: the stream's framing is lost then.
  @inline(__always)
  public init(decoding bytes: RawSpan, at offset: Int = 0) throws(WireError) {
    messageID = try bytes.load(at: offset)
    command = Command(rawValue: try bytes.load(at: offset &+ 2))
    byteCount = try bytes.load(at: offset &+ 4)
    flags = MessageFlags(rawValue: try bytes.load(at: offset &+ 8))
    errorNumber = try bytes.load(at: offset &+ 12)
    guard byteCount >= UInt32(MessageHeader.byteCount) else {
      throw WireError(.truncated, "the message claims to be shorter than its header")
    }
  }

  /// Writes the header into `bytes` at `offset`; throws `truncated` when it does not fit.
  @inline(__always)
  public func encode(into bytes: inout MutableRawSpan, at offset: Int = 0) throws(WireError) {
    try bytes.store(messageID, at: offset)
    try bytes.store(command.rawValue, at: offset &+ 2)
    try bytes.store(byteCount, at: offset &+ 4)
    try bytes.store(flags.rawValue, at: offset &+ 8)
    try bytes.store(errorNumber, at: offset &+ 12)
  }

  /// The length of the payload in bytes.
  @inline(__always)
  public var payloadByteCount: Int {
    max(0, Int(byteCount) &- MessageHeader.byteCount)
  }

  /// Whether the message is a command.
  @inline(__always)
  public var isCommand: Bool {
    flags.rawValue & MessageFlags.typeMask == 0
  }

  /// Whether the message is a reply.
  @inline(__always)
  public var isReply: Bool {
    flags.rawValue & MessageFlags.typeMask == MessageFlags.reply.rawValue
  }

  /// Whether the sender waits for a reply to this command.
  @inline(__always)
  public var wantsReply: Bool {
    !flags.contains(.noReply)
  }

  /// The error that a reply carries, or nil when the command succeeded.
  ///
  /// A failed reply may carry zero, or a number that no errno has: both become EIO.
  @inline(__always)
  public var failure: Errno? {
    guard flags.contains(.error) else { return nil }
    guard (1...4095).contains(errorNumber) else { return .ioError }
    return Errno(rawValue: CInt(errorNumber))
  }

  /// The header of a successful reply to `command` with a payload of `payloadByteCount` bytes.
  @inline(__always)
  public static func reply(
    to command: MessageHeader, payloadByteCount: Int = 0
  ) -> MessageHeader {
    MessageHeader(
      messageID: command.messageID, command: command.command, payloadByteCount: payloadByteCount,
      flags: .reply)
  }

  /// The header that is the whole reply to a command that failed.
  @inline(__always)
  public static func errorReply(to command: MessageHeader, _ errno: Errno) -> MessageHeader {
    MessageHeader(
      messageID: command.messageID, command: command.command, byteCount: UInt32(byteCount),
      flags: [.reply, .error], errorNumber: UInt32(bitPattern: errno.rawValue))
  }
}
