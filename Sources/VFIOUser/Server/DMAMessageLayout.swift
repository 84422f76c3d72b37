/// Where a client has the data of DMA_READ replies and DMA_WRITE requests.
///
/// The specification gives both a count of 8 bytes, so that the data starts at byte 16. QEMU 10.1 to
/// 10.2 declares a count of 4 bytes and has the data at byte 12, while it sizes its messages for 16.
/// Nothing in a message tells the two apart, so the client is recognised by what it proposes.
public enum DMAMessageLayout: Sendable, Hashable {
  /// By the client's proposal.
  case automatic
  /// As the specification says.
  case specification
  /// With a count of 4 bytes.
  case narrowCount

  /// Where the data starts in the payload, in bytes.
  var dataOffset: Int { self == .narrowCount ? 12 : DMAAccess.fixedByteCount }

  /// The layout of a client that made this proposal.
  func resolved(for proposal: VersionMessage) -> DMAMessageLayout {
    guard self == .automatic else { return self }
    // QEMU's proposal: version 0.0 with every capability but the second socket. No other client
    // known offers WRITE_MULTI.
    guard proposal.minor == 0, let offered = proposal.capabilities,
      offered.supportsWriteMultiple == true, offered.maximumDMAMapCount == 65535,
      offered.migration != nil, offered.twinSocket == nil, offered.extensions == nil
    else { return .specification }
    return .narrowCount
  }
}

extension DMAAccess {
  /// Checks the reply to this read and returns its data, in a client's own layout.
  func data(
    ofReply payload: RawSpan, _ layout: DMAMessageLayout
  ) throws(WireError) -> [UInt8] {
    guard layout == .narrowCount else { return [UInt8](copying: try readReply(payload)) }
    let start: UInt64 = try payload.load(at: 0)
    let length: UInt32 = try payload.load(at: 8)
    guard start == address.rawValue, UInt64(length) == count,
      UInt64(payload.byteCount - Self.fixedByteCount) == count
    else { throw WireError(.badCount, "the reply to DMA_READ is not for this read") }
    return [UInt8](
      copying: try payload.slice(at: layout.dataOffset, byteCount: Int(clamping: count)))
  }
}
