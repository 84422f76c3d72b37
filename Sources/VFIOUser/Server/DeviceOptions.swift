/// How a device is served: limits, offers and policies.
public struct DeviceOptions: Sendable {
  /// What happens to the device's state when its client goes away.
  public enum DisconnectPolicy: String, Sendable, CaseIterable {
    /// The state stays for the next client, as the protocol asks for.
    case keep
    /// The device is reset.
    case reset
  }

  /// What happens to the device's state when its client goes away.
  public var onDisconnect: DisconnectPolicy = .keep
  /// The most bytes that one access may move; at least 4096, at most 64 MiB.
  public var transferLimit: UInt32 = 1 << 20 {
    didSet { transferLimit = min(max(transferLimit, 4096), 64 << 20) }
  }
  /// The most descriptors in one message, 1 to 253. A client that takes fewer is told its own number.
  public var maximumMessageDescriptorCount = 253 {
    didSet { maximumMessageDescriptorCount = min(max(maximumMessageDescriptorCount, 1), 253) }
  }
  /// The most ranges of memory that a client may grant at a time, at most 65,535.
  public var maximumDMAMapCount = 65535 {
    didSet { maximumDMAMapCount = min(max(maximumDMAMapCount, 1), 65535) }
  }
  /// Whether a client that offers a second socket for the server's commands gets one.
  public var offersTwinSocket = true
  /// The extensions of this package that clients may use when they offer them, too.
  public var extensions: Set<Capabilities.Extension> = [.mailbox, .posted, .regionChanged]
  /// What serves the sockets of ioregionfds; nil for epoll.
  public var ioRegionEngine: (any IORegionEngine)?
  /// How clients lay out DMA messages.
  public var dmaMessageLayout = DMAMessageLayout.automatic
  /// How long a DMA access waits for the client, where memory is reached by messages.
  public var clientTimeout = Duration.seconds(5)

  /// The defaults.
  public init() {}

  /// What the server offers in the negotiation.
  var capabilities: Capabilities {
    var offer = Capabilities()
    offer.maximumMessageDescriptorCount = UInt64(maximumMessageDescriptorCount)
    offer.maximumTransferByteCount = UInt64(transferLimit)
    offer.maximumDMAMapCount = UInt64(maximumDMAMapCount)
    offer.pageSizes = 4096
    offer.supportsWriteMultiple = true
    if !extensions.isEmpty {
      offer.extensions = Dictionary(
        uniqueKeysWithValues: extensions.map { ($0.rawValue, .bool(true)) })
    }
    if offersTwinSocket { offer.twinSocket = Capabilities.TwinSocket(isSupported: true) }
    return offer
  }

  /// The longest message that makes sense: a transfer, or a negotiation.
  var maximumMessageByteCount: Int {
    MessageHeader.byteCount + max(RegionAccess.fixedByteCount + Int(transferLimit), 64 * 1024)
  }
}
