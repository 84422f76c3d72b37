/// What a server says about one region.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_REGION_INFO`; `struct vfio_region_info`
/// in `linux/vfio.h`.
public struct RegionInfo: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetRegionInfo
  /// The length of the structure in bytes, capabilities excluded.
  public static let fixedByteCount = 32
  /// How many capabilities a decoder follows before it calls the chain malformed.
  public static let maximumCapabilityCount = 64

  /// Which region.
  public var index: UInt32
  /// Rights and whether it can be mapped; the capability bit follows `capabilities` when encoded.
  public var flags: RegionFlags
  /// The length of the region in bytes; zero means that the device has no such region.
  public var byteCount: UInt64
  /// Where the region starts in the descriptor's file, in bytes.
  public var fileOffset: UInt64
  /// Sparse areas and type. Empty after decoding an incomplete reply.
  public var capabilities: [RegionCapability]
  /// The length of the complete reply payload in bytes, as a decoded reply states it.
  public private(set) var neededByteCount: Int
  /// Whether the decoded reply left its capabilities out, because the request's `argsz` was below
  /// `neededByteCount`.
  public private(set) var isIncomplete = false

  /// Makes a reply.
  public init(
    index: UInt32, flags: RegionFlags, byteCount: UInt64, fileOffset: UInt64 = 0,
    capabilities: [RegionCapability] = []
  ) {
    self.index = index
    self.flags = flags
    self.byteCount = byteCount
    self.fileOffset = fileOffset
    self.capabilities = capabilities
    neededByteCount = 0
    if !capabilities.isEmpty { self.flags.insert(.capabilities) }
    neededByteCount = encodedByteCount
  }

  /// Decodes a reply and walks its capabilities.
  ///
  /// Throws when it is shorter than its structure, `argsz` contradicts it, or the capability chain
  /// leaves the payload, is longer than `maximumCapabilityCount`, or loops.
  public init(decoding payload: RawSpan) throws(WireError) {
    let argumentSize = try decodeQuery(payload, fixedByteCount: Self.fixedByteCount)
    flags = RegionFlags(rawValue: try payload.load(at: 4))
    index = try payload.load(at: 8)
    let capabilityOffset: UInt32 = try payload.load(at: 12)
    byteCount = try payload.load(at: 16)
    fileOffset = try payload.load(at: 24)
    capabilities = []
    neededByteCount = Int(argumentSize)
    if flags.contains(.mmap) {
      try checkRange(fileOffset, byteCount, "the region leaves its file")
    }
    guard Int(argumentSize) <= payload.byteCount else {
      isIncomplete = true
      return
    }
    guard flags.contains(.capabilities), capabilityOffset != 0 else { return }
    let information = try payload.slice(at: 0, byteCount: Int(argumentSize))
    var position = Int(capabilityOffset)
    while position != 0 {
      guard position >= Self.fixedByteCount else {
        throw WireError(.badCapability, "a capability overlaps the region information")
      }
      guard capabilities.count < Self.maximumCapabilityCount else {
        throw WireError(.badCapability, "the capability chain is too long or loops")
      }
      let capability = try RegionCapability.decode(
        information, at: position, regionByteCount: byteCount)
      let next: UInt32 = try information.load(at: position + 4)
      capabilities.append(capability)
      position = Int(next)
    }
  }

  /// The length of the complete payload in bytes.
  public var encodedByteCount: Int {
    capabilities.reduce(Self.fixedByteCount) { $0 + $1.encodedByteCount }
  }

  /// The length in bytes of the payload for a client that takes `argumentSize` bytes: everything,
  /// or only the structure.
  public func encodedByteCount(limit argumentSize: UInt32) -> Int {
    let full = encodedByteCount
    return full <= Int(argumentSize) ? full : Self.fixedByteCount
  }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try encode(into: &bytes, at: offset, limit: .max)
  }

  /// Writes the payload for a client that takes `argumentSize` bytes.
  ///
  /// When the capabilities do not fit, only the structure is written; its `argsz` tells the client
  /// how much to ask for.
  /// - Throws: `truncated` when ``encodedByteCount(limit:)`` bytes do not fit.
  public func encode(
    into bytes: inout MutableRawSpan, at offset: Int, limit argumentSize: UInt32
  ) throws(WireError) {
    let full = encodedByteCount
    let fits = full <= Int(argumentSize)
    var flags = flags
    if capabilities.isEmpty { flags.remove(.capabilities) } else { flags.insert(.capabilities) }
    try bytes.store(UInt32(truncatingIfNeeded: full), at: offset)
    try bytes.store(flags.rawValue, at: offset + 4)
    try bytes.store(index, at: offset + 8)
    // Also where they do not fit: QEMU refuses a reply that has the flag and no place for it, and
    // `argsz` tells everybody to ask again.
    let first = capabilities.isEmpty ? 0 : UInt32(Self.fixedByteCount)
    try bytes.store(first, at: offset + 12)
    try bytes.store(byteCount, at: offset + 16)
    try bytes.store(fileOffset, at: offset + 24)
    guard fits else { return }
    var position = Self.fixedByteCount
    for (index, capability) in capabilities.enumerated() {
      let end = position + capability.encodedByteCount
      let next = index + 1 < capabilities.count ? UInt32(truncatingIfNeeded: end) : 0
      try capability.encode(into: &bytes, at: offset + position, next: next)
      position = end
    }
  }
}
