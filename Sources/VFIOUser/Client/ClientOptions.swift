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
  public var maximumMessageDescriptorCount = 253
  /// Migration limits to offer, or nil.
  public var migration: Capabilities.Migration? = Capabilities.Migration()
  /// Whether to offer the extension `posted`: the server may say which writes nobody need wait for.
  public var offersPostedMessages = false
  /// Whether to offer the extension `mailbox`: the server may give shared memory, which a monitor reaches
  /// without a system call, in the place of a socket for accesses; see ``MailboxPort``.
  public var offersMailbox = false
  /// Called when the server says that a region's descriptors or mappable areas have changed; the
  /// region's index is given. The extension `region_changed` is offered only where this is set.
  ///
  /// By then `DeviceClient.region(at:)` has forgotten the region and asks again. Objects that were
  /// handed out before keep what they have.
  ///
  /// Threads: whichever receives from the server, as for its other commands, so that the client must
  /// not be called from here: note the index, and ask on a thread of your own.
  public var onRegionChanged: (@Sendable (_ index: Int) -> Void)?
  /// Other extensions to offer, or nil.
  public var extensions: [String: JSONValue]?

  /// Makes the default options.
  public init() {}

  /// What the client proposes in the negotiation.
  var proposal: VersionMessage {
    var capabilities = Capabilities()
    capabilities.maximumMessageDescriptorCount = UInt64(
      min(max(1, maximumMessageDescriptorCount), 253))
    capabilities.maximumTransferByteCount = UInt64(
      min(max(64, maximumTransferByteCount), 64 << 20))
    capabilities.maximumDMAMapCount = Capabilities.Default.maximumDMAMapCount
    capabilities.pageSizes = Capabilities.Default.pageSizes
    if offersWriteMultiple { capabilities.supportsWriteMultiple = true }
    if offersTwinSocket { capabilities.twinSocket = .init(isSupported: true) }
    capabilities.migration = migration
    capabilities.extensions = offeredExtensions
    return VersionMessage(capabilities: capabilities)
  }

  private var offeredExtensions: [String: JSONValue]? {
    var offers = extensions ?? [:]
    if offersPostedMessages { offers[Capabilities.Extension.posted.rawValue] = .bool(true) }
    if offersMailbox { offers[Capabilities.Extension.mailbox.rawValue] = .bool(true) }
    if onRegionChanged != nil {
      offers[Capabilities.Extension.regionChanged.rawValue] = .bool(true)
    }
    return offers.isEmpty ? extensions : offers
  }
}
