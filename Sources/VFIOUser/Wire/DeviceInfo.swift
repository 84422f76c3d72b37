/// Asks for the device's kind and counts.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_INFO`.
public struct DeviceInfoRequest: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetInfo

  /// The largest reply payload that the client takes, in bytes; 16 or more when decoded.
  public var argumentSize: UInt32

  /// Makes a request that takes a reply payload of `argumentSize` bytes.
  public init(argumentSize: UInt32 = UInt32(DeviceInfo.fixedByteCount)) {
    self.argumentSize = argumentSize
  }

  /// Decodes a request; throws when it or its `argsz` is below 16 bytes. The other fields, which a
  /// client leaves zero, and bytes behind the structure are ignored.
  public init(decoding payload: RawSpan) throws(WireError) {
    argumentSize = try decodeQuery(payload, fixedByteCount: DeviceInfo.fixedByteCount)
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { DeviceInfo.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.zero(at: offset, byteCount: encodedByteCount)
    try bytes.store(argumentSize, at: offset)
  }
}

/// The device's kind and counts, as the server replies.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_INFO`.
public struct DeviceInfo: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetInfo
  /// The length of the structure in bytes.
  public static let fixedByteCount = 16

  /// Whether it can be reset and whether it is a PCI function.
  public var flags: DeviceFlags
  /// How many regions the device has, empty ones included.
  public var regionCount: UInt32
  /// How many interrupt types (indices, not vectors) the device has.
  public var interruptTypeCount: UInt32

  /// Makes a reply.
  public init(flags: DeviceFlags, regionCount: UInt32, interruptTypeCount: UInt32) {
    self.flags = flags
    self.regionCount = regionCount
    self.interruptTypeCount = interruptTypeCount
  }

  /// Decodes a reply; throws when it or its `argsz` is below 16 bytes.
  public init(decoding payload: RawSpan) throws(WireError) {
    _ = try decodeQuery(payload, fixedByteCount: Self.fixedByteCount)
    flags = DeviceFlags(rawValue: try payload.load(at: 4))
    regionCount = try payload.load(at: 8)
    interruptTypeCount = try payload.load(at: 12)
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(UInt32(Self.fixedByteCount), at: offset)
    try bytes.store(flags.rawValue, at: offset + 4)
    try bytes.store(regionCount, at: offset + 8)
    try bytes.store(interruptTypeCount, at: offset + 12)
  }
}

/// Checks a structure that starts with `argsz` and returns that field.
func decodeQuery(_ payload: RawSpan, fixedByteCount: Int) throws(WireError) -> UInt32 {
  guard payload.byteCount >= fixedByteCount else {
    throw WireError(.truncated, "the query is shorter than its structure")
  }
  let argumentSize: UInt32 = try payload.load(at: 0)
  guard argumentSize >= UInt32(fixedByteCount) else {
    throw WireError(.badArgumentSize, "argsz is below the size of the structure")
  }
  return argumentSize
}
