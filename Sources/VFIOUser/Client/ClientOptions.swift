/// How a client behaves.
public struct ClientOptions: Sendable {
  /// The longest wait for the connection, and for each reply. At least a millisecond.
  public var timeout: Duration = .seconds(5)
  /// Whether a call looks for its reply without sleeping for some microseconds first; `always` looks
  /// until the time is over.
  public var polling: PollingMode = .never
  /// Whether regions are mapped where the server allows it; else all accesses are messages.
  public var mapsRegions = true
  /// Whether to ask for a socket of their own for the server's commands.
  public var offersTwinSocket = false
  /// Whether to offer `VFIO_USER_REGION_WRITE_MULTI`.
  public var offersWriteMultiple = true
  /// The most data in one access message, in bytes: 64 to 64 MiB.
  public var maximumTransferByteCount = 1 << 20
  /// The most descriptors that the server may send in one message: 1 to 253.
  public var maximumMessageDescriptorCount = 16
  /// Migration limits to offer, or nil.
  public var migration: Capabilities.Migration? = Capabilities.Migration()
  /// Extensions to offer, or nil.
  public var extensions: [String: JSONValue]?

  /// Makes the default options.
  public init() {}

  /// What the client proposes in the negotiation.
  var proposal: VersionMessage {
    var capabilities = Capabilities()
    capabilities.maximumMessageDescriptorCount = UInt64(max(1, maximumMessageDescriptorCount))
    capabilities.maximumTransferByteCount = UInt64(
      min(max(64, maximumTransferByteCount), 64 << 20))
    capabilities.maximumDMAMapCount = Capabilities.Default.maximumDMAMapCount
    capabilities.pageSizes = Capabilities.Default.pageSizes
    if offersWriteMultiple { capabilities.supportsWriteMultiple = true }
    if offersTwinSocket { capabilities.twinSocket = .init(isSupported: true) }
    capabilities.migration = migration
    capabilities.extensions = extensions
    return VersionMessage(capabilities: capabilities)
  }
}
