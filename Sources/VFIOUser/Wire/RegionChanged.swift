/// Extension `region_changed`: the server says that what it told about a region no longer holds.
///
/// It concerns the region's descriptors and its mappable areas, never its length. It has no reply.
///
/// ```
/// region (4)  reserved, zero (4)
/// ```
public struct RegionChanged: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.regionChanged
  /// The length of the payload in bytes.
  public static let byteCount = 8

  /// Which region; any number comes off the wire.
  public var index: UInt32

  /// Makes the message for a region.
  public init(index: UInt32) {
    self.index = index
  }

  /// Decodes the payload; throws unless it has 8 bytes of which the last 4 are zero.
  public init(decoding payload: RawSpan) throws(WireError) {
    index = try payload.load(at: 0)
    let reserved: UInt32 = try payload.load(at: 4)
    guard payload.byteCount == Self.byteCount else {
      throw WireError(.oversized, "REGION_CHANGED has 8 bytes")
    }
    guard reserved == 0 else {
      throw WireError(.badFlags, "REGION_CHANGED has reserved bits set")
    }
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.byteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(index, at: offset)
    try bytes.store(UInt32(0), at: offset + 4)
  }
}
