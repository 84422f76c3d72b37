/// The payload of one kind of message, and its form on the wire.
///
/// Decoders receive what follows the header and trust nothing in it; encoders write what the
/// specification asks for. Neither does any I/O. All integers are little-endian.
public protocol WireMessage: Sendable, Equatable {
  /// The command that this payload belongs to.
  static var command: Command { get }

  /// Decodes a payload, header excluded; throws when it is malformed.
  init(decoding payload: RawSpan) throws(WireError)

  /// The length of the encoded payload in bytes, header excluded.
  var encodedByteCount: Int { get }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError)
}

extension WireMessage {
  /// Writes the payload at the start of `bytes`; throws `truncated` when it does not fit.
  @inline(__always)
  public func encode(into bytes: inout MutableRawSpan) throws(WireError) {
    try encode(into: &bytes, at: 0)
  }

  /// The encoded payload in an array of its own, header excluded.
  public func encodedPayload() -> [UInt8] {
    var payload = [UInt8](repeating: 0, count: encodedByteCount)
    // The buffer has the length that the message asked for, so that this cannot fail.
    payload.withMutableRawSpan { bytes in try? encode(into: &bytes, at: 0) }
    return payload
  }

  /// The whole message, header included, in an array of its own.
  public func frame(messageID: UInt16, flags: MessageFlags = []) -> [UInt8] {
    let header = MessageHeader(
      messageID: messageID, command: Self.command, payloadByteCount: encodedByteCount, flags: flags)
    var frame = [UInt8](repeating: 0, count: MessageHeader.byteCount + encodedByteCount)
    frame.withMutableRawSpan { bytes in
      // The buffer has the length that the message asked for, so that neither can fail.
      try? header.encode(into: &bytes)
      try? encode(into: &bytes, at: MessageHeader.byteCount)
    }
    return frame
  }
}
