/// Asks about one interrupt type.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_IRQ_INFO`.
public struct IRQInfoRequest: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetIRQInfo

  /// The largest reply payload that the client takes, in bytes; 16 or more when decoded.
  public var argumentSize: UInt32
  /// Which interrupt type; any number comes off the wire.
  public var index: UInt32

  /// Makes a request for an interrupt type.
  public init(index: UInt32, argumentSize: UInt32 = UInt32(IRQInfo.fixedByteCount)) {
    self.argumentSize = argumentSize
    self.index = index
  }

  /// Decodes a request; throws when it or its `argsz` is below 16 bytes. The other fields, which a
  /// client leaves zero, and bytes behind the structure are ignored.
  public init(decoding payload: RawSpan) throws(WireError) {
    argumentSize = try decodeQuery(payload, fixedByteCount: IRQInfo.fixedByteCount)
    index = try payload.load(at: 8)
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { IRQInfo.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.zero(at: offset, byteCount: encodedByteCount)
    try bytes.store(argumentSize, at: offset)
    try bytes.store(index, at: offset + 8)
  }
}

/// What a server says about one interrupt type.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_IRQ_INFO`.
public struct IRQInfo: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetIRQInfo
  /// The length of the structure in bytes.
  public static let fixedByteCount = 16

  /// Which interrupt type.
  public var index: UInt32
  /// How its interrupts behave.
  public var flags: InterruptFlags
  /// How many interrupts the type has.
  public var count: UInt32

  /// Makes a reply.
  public init(index: UInt32, flags: InterruptFlags, count: UInt32) {
    self.index = index
    self.flags = flags
    self.count = count
  }

  /// Decodes a reply; throws when it or its `argsz` is below 16 bytes.
  public init(decoding payload: RawSpan) throws(WireError) {
    _ = try decodeQuery(payload, fixedByteCount: Self.fixedByteCount)
    flags = InterruptFlags(rawValue: try payload.load(at: 4))
    index = try payload.load(at: 8)
    count = try payload.load(at: 12)
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(UInt32(Self.fixedByteCount), at: offset)
    try bytes.store(flags.rawValue, at: offset + 4)
    try bytes.store(index, at: offset + 8)
    try bytes.store(count, at: offset + 12)
  }
}
