/// What the two sides of a connection agree on, as pure functions.
///
/// Source: vfio-user specification, `VFIO_USER_VERSION`.
public enum Negotiation {
  /// The server's reply to a client's proposal.
  ///
  /// It has text only if the proposal had, names only what was proposed, takes the smaller of both
  /// limits, and is never longer than the proposal, because some clients receive it into the buffer
  /// that they sent from. Where it would be longer, values that equal the protocol's default go
  /// first, then extensions, migration, twin socket, and the rest. A twin socket is set up exactly
  /// when the reply says that it is supported; its descriptor is then the reply's first.
  ///
  /// Throws when the major version differs or no page size is common: the server replies with the
  /// error and closes the connection.
  public static func serverReply(
    to request: VersionMessage, offering: Capabilities
  ) throws(WireError) -> VersionMessage {
    guard request.major == VersionMessage.supportedMajor else {
      throw WireError(.badVersion, "the major version is not supported")
    }
    var reply = VersionMessage(
      major: request.major, minor: min(request.minor, VersionMessage.supportedMinor),
      capabilities: nil)
    guard let proposed = request.capabilities else { return reply }
    let limit = request.receivedByteCount ?? request.encodedByteCount
    reply.capabilities = try combine(proposed: proposed, offered: offering)
    for shorten in shortenings where reply.encodedByteCount > limit {
      if var capabilities = reply.capabilities {
        shorten(&capabilities)
        reply.capabilities = capabilities
      }
    }
    return reply
  }

  /// Checks a server's reply to `proposal` and returns what holds on the connection.
  ///
  /// A limit above the proposed one is lowered to it, since a server may take more than we send.
  /// Throws when the major version differs, the minor is above the proposed one, there is text
  /// although none was proposed, a feature is granted that was not proposed, no page size is common,
  /// or twin-socket mode is granted without saying which descriptor. Whether that descriptor came
  /// along is for the caller to check.
  public static func accept(
    reply: VersionMessage, proposal: VersionMessage
  ) throws(WireError) -> Capabilities {
    guard reply.major == proposal.major, reply.minor <= proposal.minor else {
      throw WireError(.badVersion, "the server replied with another version")
    }
    guard let proposed = proposal.capabilities else {
      guard reply.capabilities == nil else {
        throw WireError(.badCapability, "the server granted capabilities to none proposed")
      }
      return Capabilities()
    }
    var agreed = reply.capabilities ?? Capabilities()
    guard !(agreed.supportsWriteMultiple ?? false) || proposed.supportsWriteMultiple == true,
      agreed.migration == nil || proposed.migration != nil,
      agreed.extensions == nil || proposed.extensions != nil,
      Self.names(in: agreed.extensions).isSubset(of: Self.names(in: proposed.extensions))
    else { throw WireError(.badCapability, "the server granted what was not proposed") }
    if let twin = agreed.twinSocket, twin.isSupported {
      guard proposed.twinSocket?.isSupported == true else {
        throw WireError(.badCapability, "the server granted what was not proposed")
      }
      guard twin.descriptorIndex != nil else {
        throw WireError(.badCapability, "the twin socket has no descriptor index")
      }
    }
    agreed.maximumMessageDescriptorCount = min(
      agreed.effectiveMessageDescriptorCount, proposed.effectiveMessageDescriptorCount)
    agreed.maximumTransferByteCount = min(
      agreed.effectiveTransferByteCount, proposed.effectiveTransferByteCount)
    agreed.maximumDMAMapCount = min(agreed.effectiveDMAMapCount, proposed.effectiveDMAMapCount)
    agreed.pageSizes = try common(agreed.effectivePageSizes, proposed.effectivePageSizes)
    return agreed
  }

  private static func names(in extensions: [String: JSONValue]?) -> Set<String> {
    Set(extensions.map { Array($0.keys) } ?? [])
  }

  /// What both sides can do, of what the client proposed.
  private static func combine(
    proposed: Capabilities, offered: Capabilities
  ) throws(WireError) -> Capabilities {
    var reply = Capabilities()
    reply.maximumMessageDescriptorCount = smaller(
      proposed.maximumMessageDescriptorCount, offered.maximumMessageDescriptorCount)
    reply.maximumTransferByteCount = smaller(
      proposed.maximumTransferByteCount, offered.maximumTransferByteCount)
    reply.maximumDMAMapCount = smaller(proposed.maximumDMAMapCount, offered.maximumDMAMapCount)
    let pageSizes = try common(proposed.effectivePageSizes, offered.effectivePageSizes)
    if proposed.pageSizes != nil, offered.pageSizes != nil { reply.pageSizes = pageSizes }
    if proposed.supportsWriteMultiple == true, offered.supportsWriteMultiple == true {
      reply.supportsWriteMultiple = true
    }
    if proposed.twinSocket?.isSupported == true, offered.twinSocket?.isSupported == true {
      reply.twinSocket = Capabilities.TwinSocket(isSupported: true, descriptorIndex: 0)
    }
    if let theirs = proposed.migration, let ours = offered.migration {
      reply.migration = Capabilities.Migration(
        pageByteCount: max(theirs.pageByteCount, ours.pageByteCount),
        maximumBitmapByteCount: min(theirs.maximumBitmapByteCount, ours.maximumBitmapByteCount))
    }
    if let theirs = proposed.extensions, let ours = offered.extensions {
      // What one of the two says is off stays out of the reply.
      let granted = ours.filter { $0.value == .bool(true) && theirs[$0.key] == .bool(true) }
      if !granted.isEmpty { reply.extensions = granted }
    }
    return reply
  }

  /// What is left out of a reply that is too long, in this order.
  private static let shortenings: [@Sendable (inout Capabilities) -> Void] = [
    {
      typealias Default = Capabilities.Default
      if $0.maximumMessageDescriptorCount == Default.maximumMessageDescriptorCount {
        $0.maximumMessageDescriptorCount = nil
      }
      if $0.maximumTransferByteCount == Default.maximumTransferByteCount {
        $0.maximumTransferByteCount = nil
      }
      if $0.maximumDMAMapCount == Default.maximumDMAMapCount { $0.maximumDMAMapCount = nil }
      if $0.pageSizes == Default.pageSizes { $0.pageSizes = nil }
    },
    { $0.extensions = nil },
    { $0.migration = nil },
    { $0.twinSocket = nil },
    { $0.supportsWriteMultiple = nil },
    { $0.maximumMessageDescriptorCount = nil },
    { $0 = Capabilities() },
  ]

  private static func smaller(_ proposed: UInt64?, _ offered: UInt64?) -> UInt64? {
    guard let proposed, let offered else { return nil }
    return min(proposed, offered)
  }

  private static func common(_ left: UInt64, _ right: UInt64) throws(WireError) -> UInt64 {
    guard left & right != 0 else {
      throw WireError(.badCapability, "there is no common page size")
    }
    return left & right
  }
}
