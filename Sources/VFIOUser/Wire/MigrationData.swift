/// Asks for migration data.
///
/// Source: vfio-user specification, `VFIO_USER_MIG_DATA_READ`.
public struct MigrationDataReadRequest: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.migrationDataRead
  /// The length of the payload in bytes.
  public static let fixedByteCount = 8

  /// How many bytes of migration data are wanted.
  public var byteCount: UInt32

  /// Makes a request.
  public init(byteCount: UInt32) {
    self.byteCount = byteCount
  }

  /// Decodes a request; throws when it is not exactly 8 bytes, or `argsz` leaves no room for the
  /// data.
  public init(decoding payload: RawSpan) throws(WireError) {
    let argumentSize = try decodeQuery(payload, fixedByteCount: Self.fixedByteCount)
    byteCount = try payload.load(at: 4)
    guard payload.byteCount == Self.fixedByteCount else {
      throw WireError(.oversized, "MIG_DATA_READ takes 8 bytes")
    }
    guard UInt64(argumentSize) >= UInt64(byteCount) + UInt64(Self.fixedByteCount) else {
      throw WireError(.badArgumentSize, "MIG_DATA_READ argsz is below the data")
    }
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(
      UInt32(clamping: UInt64(byteCount) + UInt64(Self.fixedByteCount)), at: offset)
    try bytes.store(byteCount, at: offset + 4)
  }
}

/// Migration data: the reply to a read, or the request of a write.
///
/// A reply with fewer bytes than asked for is the last one; a write's reply has no payload.
/// Source: vfio-user specification, `VFIO_USER_MIG_DATA_READ` and `VFIO_USER_MIG_DATA_WRITE`.
public struct MigrationData: WireMessage {
  /// The command of a write; a read's reply has the same form under its own command.
  public static let command = Command.migrationDataWrite
  /// The length in bytes of the part before the data.
  public static let fixedByteCount = 8

  /// The data itself.
  public var data: [UInt8]

  /// Makes a message of this data.
  public init(_ data: [UInt8]) {
    self.data = data
  }

  /// Decodes a message; throws when its size is not the length of its data or `argsz` is below it.
  public init(decoding payload: RawSpan) throws(WireError) {
    let argumentSize = try decodeQuery(payload, fixedByteCount: Self.fixedByteCount)
    let count: UInt32 = try payload.load(at: 4)
    guard Int(count) == payload.byteCount - Self.fixedByteCount else {
      throw WireError(.badCount, "the size of migration data is not the length of its data")
    }
    guard Int(argumentSize) >= payload.byteCount else {
      throw WireError(.badArgumentSize, "argsz is below the migration data")
    }
    data = [UInt8](copying: try payload.slice(from: Self.fixedByteCount))
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount + data.count }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(UInt32(truncatingIfNeeded: encodedByteCount), at: offset)
    try bytes.store(UInt32(truncatingIfNeeded: data.count), at: offset + 4)
    try bytes.store(bytes: data.rawSpan, at: offset + Self.fixedByteCount)
  }
}
