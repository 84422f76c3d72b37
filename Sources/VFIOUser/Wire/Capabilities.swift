/// What one side of a connection can do, as it says in the negotiation.
///
/// Nil means that nothing is said; the `effective` properties give the protocol's default then.
/// Source: vfio-user specification, `VFIO_USER_VERSION`.
public struct Capabilities: Hashable, Sendable {
  /// Twin-socket mode: commands of the server travel on a socket of their own.
  public struct TwinSocket: Hashable, Sendable {
    /// Whether the sender supports the mode.
    public var isSupported: Bool
    /// In a reply: which of the descriptors is the socket.
    public var descriptorIndex: UInt64?

    /// Makes the capability.
    public init(isSupported: Bool, descriptorIndex: UInt64? = nil) {
      self.isSupported = isSupported
      self.descriptorIndex = descriptorIndex
    }
  }

  /// Migration limits.
  public struct Migration: Hashable, Sendable {
    /// The length in bytes that one bit of a log of written pages stands for.
    public var pageByteCount: UInt64
    /// The longest bitmap that the sender takes, in bytes.
    public var maximumBitmapByteCount: UInt64

    /// Makes the capability; both default to what QEMU proposes.
    public init(pageByteCount: UInt64 = 4096, maximumBitmapByteCount: UInt64 = 256 << 20) {
      self.pageByteCount = pageByteCount
      self.maximumBitmapByteCount = maximumBitmapByteCount
    }
  }

  /// The name under which extensions of this package are negotiated.
  public static let extensionName = "swift_vfio_user"

  /// The extensions of this package, by name; the value is `true` where one is offered.
  public enum Extension: String, CaseIterable, Sendable {
    /// GET_REGION_IO_FDS may answer with `RegionIODescriptor.Kind.mailbox` instead of an ioregionfd.
    case mailbox
    /// GET_REGION_IO_FDS may answer with `RegionIODescriptor.Kind.postedMessage`.
    case posted
    /// The server says with `Command.regionChanged` that a region's answer to GET_REGION_IO_FDS, or its
    /// mappable areas, are no longer what they were.
    case regionChanged = "region_changed"
  }

  /// Whether an extension is offered, or agreed on.
  public func offers(_ name: Extension) -> Bool {
    extensions?[name.rawValue]?.boolValue == true
  }

  /// How many descriptors the sender takes in one message.
  public var maximumMessageDescriptorCount: UInt64?
  /// How much data the sender takes in one access message, in bytes.
  public var maximumTransferByteCount: UInt64?
  /// How many DMA maps can be valid at once.
  public var maximumDMAMapCount: UInt64?
  /// The page sizes of DMA maps, or'ed together.
  public var pageSizes: UInt64?
  /// Twin-socket mode.
  public var twinSocket: TwinSocket?
  /// Whether `VFIO_USER_REGION_WRITE_MULTI` is understood.
  public var supportsWriteMultiple: Bool?
  /// Migration limits.
  public var migration: Migration?
  /// Extensions of this package, by name.
  public var extensions: [String: JSONValue]?

  /// Says nothing.
  public init() {}

  /// The protocol's defaults, which hold where nothing is said.
  public enum Default {
    /// One descriptor a message.
    public static let maximumMessageDescriptorCount: UInt64 = 1
    /// 1 MiB in one access message.
    public static let maximumTransferByteCount: UInt64 = 1 << 20
    /// 65,535 DMA maps.
    public static let maximumDMAMapCount: UInt64 = 65535
    /// Only pages of 4 KiB.
    public static let pageSizes: UInt64 = 4096
  }

  /// How many descriptors the sender takes in one message, default applied.
  public var effectiveMessageDescriptorCount: UInt64 {
    maximumMessageDescriptorCount ?? Default.maximumMessageDescriptorCount
  }

  /// How much data the sender takes in one access message, in bytes, default applied.
  public var effectiveTransferByteCount: UInt64 {
    maximumTransferByteCount ?? Default.maximumTransferByteCount
  }

  /// How many DMA maps can be valid at once, default applied.
  public var effectiveDMAMapCount: UInt64 {
    maximumDMAMapCount ?? Default.maximumDMAMapCount
  }

  /// The page sizes of DMA maps, default applied.
  public var effectivePageSizes: UInt64 {
    pageSizes ?? Default.pageSizes
  }
}

extension Capabilities {
  /// Reads the `capabilities` object; unknown names are ignored.
  ///
  /// Throws when a value has the wrong type, or is one that no transfer could work with.
  init(_ object: [String: JSONValue]) throws(WireError) {
    maximumMessageDescriptorCount = try Self.number("max_msg_fds", in: object)
    maximumTransferByteCount = try Self.number("max_data_xfer_size", in: object)
    maximumDMAMapCount = try Self.number("max_dma_maps", in: object)
    pageSizes = try Self.number("pgsizes", in: object)
    supportsWriteMultiple = try Self.boolean("write_multiple", in: object)
    if let twin = try Self.object("twin_socket", in: object) {
      twinSocket = TwinSocket(
        isSupported: try Self.boolean("supported", in: twin) ?? false,
        descriptorIndex: try Self.number("fd_index", in: twin))
    }
    if let migration = try Self.object("migration", in: object) {
      self.migration = Migration(
        pageByteCount: try Self.number("pgsize", in: migration) ?? 4096,
        maximumBitmapByteCount: try Self.number("max_bitmap_size", in: migration) ?? 256 << 20)
    }
    extensions = try Self.object(Self.extensionName, in: object)
    guard maximumTransferByteCount != 0, pageSizes != 0 else {
      throw WireError(.badCapability, "a transfer or page size of zero")
    }
    guard migration.map({ $0.pageByteCount.nonzeroBitCount == 1 }) ?? true else {
      throw WireError(.badCapability, "the migration page size is no power of two")
    }
  }

  /// The `capabilities` object; what is not said is left out.
  package var object: [String: JSONValue] {
    var object: [String: JSONValue] = [:]
    object["max_msg_fds"] = maximumMessageDescriptorCount.map(JSONValue.init)
    object["max_data_xfer_size"] = maximumTransferByteCount.map(JSONValue.init)
    object["max_dma_maps"] = maximumDMAMapCount.map(JSONValue.init)
    object["pgsizes"] = pageSizes.map(JSONValue.init)
    object["write_multiple"] = supportsWriteMultiple.map(JSONValue.bool)
    if let twinSocket {
      var twin: [String: JSONValue] = ["supported": .bool(twinSocket.isSupported)]
      twin["fd_index"] = twinSocket.descriptorIndex.map(JSONValue.init)
      object["twin_socket"] = .object(twin)
    }
    if let migration {
      object["migration"] = .object([
        "pgsize": JSONValue(migration.pageByteCount),
        "max_bitmap_size": JSONValue(migration.maximumBitmapByteCount),
      ])
    }
    object[Self.extensionName] = extensions.map(JSONValue.object)
    return object
  }

  private static func number(
    _ name: String, in object: [String: JSONValue]
  ) throws(WireError) -> UInt64? {
    guard let value = object[name] else { return nil }
    guard let number = value.unsignedValue else {
      throw WireError(.badCapability, "a capability is no count")
    }
    return number
  }

  private static func boolean(
    _ name: String, in object: [String: JSONValue]
  ) throws(WireError) -> Bool? {
    guard let value = object[name] else { return nil }
    guard let boolean = value.boolValue else {
      throw WireError(.badCapability, "a capability is no boolean")
    }
    return boolean
  }

  private static func object(
    _ name: String, in object: [String: JSONValue]
  ) throws(WireError) -> [String: JSONValue]? {
    guard let value = object[name] else { return nil }
    guard let members = value.objectValue else {
      throw WireError(.badCapability, "a capability is no object")
    }
    return members
  }
}
