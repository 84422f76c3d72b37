/// Asks about one region.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_REGION_INFO`.
public struct RegionInfoRequest: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetRegionInfo

  /// The largest reply payload that the client takes, in bytes; 32 or more when decoded.
  public var argumentSize: UInt32
  /// Which region; any number comes off the wire.
  public var index: UInt32

  /// Makes a request for a region that takes a reply payload of `argumentSize` bytes.
  public init(index: UInt32, argumentSize: UInt32 = UInt32(RegionInfo.fixedByteCount)) {
    self.argumentSize = argumentSize
    self.index = index
  }

  /// Decodes a request; throws when it or its `argsz` is below 32 bytes. The other fields, which a
  /// client leaves zero, and bytes behind the structure (some clients send a buffer of `argsz`
  /// bytes) are ignored.
  public init(decoding payload: RawSpan) throws(WireError) {
    argumentSize = try decodeQuery(payload, fixedByteCount: RegionInfo.fixedByteCount)
    index = try payload.load(at: 8)
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { RegionInfo.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.zero(at: offset, byteCount: encodedByteCount)
    try bytes.store(argumentSize, at: offset)
    try bytes.store(index, at: offset + 8)
  }
}
