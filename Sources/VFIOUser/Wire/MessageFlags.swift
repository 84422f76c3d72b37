/// The flags field of a message header.
///
/// Source: vfio-user specification, section "Header".
public struct MessageFlags: OptionSet, Hashable, Sendable {
  /// The field as it is on the wire.
  public let rawValue: UInt32

  /// Makes flags from the field on the wire; unknown bits are kept.
  @inline(__always)
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// The type bits of a reply; a command has none of the type bits set.
  public static let reply = MessageFlags(rawValue: 0x1)
  /// The sender of a command wants no reply.
  public static let noReply = MessageFlags(rawValue: 0x10)
  /// The command failed; the header's error number says why.
  public static let error = MessageFlags(rawValue: 0x20)

  /// The bits that hold the message type.
  public static let typeMask: UInt32 = 0xf
}
