/// The fixed part of an access to client memory by message, in requests and replies alike.
///
/// The data of a write request and of a read reply follows it; it is not copied here.
/// Source: vfio-user specification, `VFIO_USER_DMA_READ` and `VFIO_USER_DMA_WRITE`.
public struct DMAAccess: Hashable, Sendable {
  /// The length of the fixed part in bytes, which is where the data starts.
  public static let fixedByteCount = 16
  /// The length of the reply to a write in bytes: its count is half as wide as the request's.
  public static let writeReplyByteCount = 12

  /// Where the access starts.
  public var address: DMAAddress
  /// How many bytes are accessed.
  public var count: UInt64

  /// Makes the fixed part of an access.
  public init(address: DMAAddress, count: UInt64) {
    self.address = address
    self.count = count
  }

  /// Decodes the fixed part and leaves the data alone; throws `truncated` when it is not there.
  public init(decoding payload: RawSpan) throws(WireError) {
    address = DMAAddress(try payload.load(at: 0))
    count = try payload.load(at: 8)
  }

  /// Decodes a read request; throws when it is not exactly 16 bytes, reads more than `limit` bytes,
  /// or leaves the 64-bit space.
  public static func readRequest(
    _ payload: RawSpan, limit: UInt64
  ) throws(WireError) -> DMAAccess {
    let access = try DMAAccess(decoding: payload)
    guard payload.byteCount == fixedByteCount else {
      throw WireError(.oversized, "DMA_READ takes 16 bytes")
    }
    try access.check(limit: limit)
    return access
  }

  /// Decodes a write request; throws when its data has not `count` bytes, it writes more than
  /// `limit` bytes, or leaves the 64-bit space.
  public static func writeRequest(
    _ payload: RawSpan, limit: UInt64
  ) throws(WireError) -> DMAAccess {
    let access = try DMAAccess(decoding: payload)
    guard UInt64(payload.byteCount - fixedByteCount) == access.count else {
      throw WireError(.badCount, "DMA_WRITE count is not the length of its data")
    }
    try access.check(limit: limit)
    return access
  }

  /// Checks the reply to this read and returns its data; it must be all that was asked for.
  ///
  /// - Throws: `truncated` for less than 16 bytes, `badCount` for another place or length.
  @_lifetime(copy payload)
  public func readReply(_ payload: RawSpan) throws(WireError) -> RawSpan {
    let reply = try DMAAccess(decoding: payload)
    guard reply == self, UInt64(payload.byteCount - Self.fixedByteCount) == count else {
      throw WireError(.badCount, "the reply to DMA_READ is not for this read")
    }
    return try payload.slice(from: Self.fixedByteCount)
  }

  /// Checks the reply to this write, which some clients leave empty and others send with a count of
  /// 4 or of 8 bytes.
  ///
  /// - Throws: `truncated` for less than 8 bytes, `oversized` for any other length, `badCount` for
  ///   another place or length of the write.
  public func checkWriteReply(_ payload: RawSpan) throws(WireError) {
    if payload.byteCount == 0 { return }
    let address = DMAAddress(try payload.load(at: 0))
    let count: UInt64
    switch payload.byteCount {
    case Self.writeReplyByteCount: count = UInt64(try payload.load(at: 8, as: UInt32.self))
    case Self.fixedByteCount: count = try payload.load(at: 8)
    default: throw WireError(.oversized, "the reply to DMA_WRITE takes 12 bytes")
    }
    guard address == self.address, count == self.count else {
      throw WireError(.badCount, "the reply to DMA_WRITE is not for this write")
    }
  }

  /// Writes the fixed part into `bytes` at `position`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at position: Int) throws(WireError) {
    try bytes.store(address.rawValue, at: position)
    try bytes.store(count, at: position &+ 8)
  }

  /// Writes the 12 bytes that answer a write; throws `truncated` when they do not fit.
  public func encodeWriteReply(
    into bytes: inout MutableRawSpan, at position: Int
  ) throws(WireError) {
    try bytes.store(address.rawValue, at: position)
    try bytes.store(UInt32(truncatingIfNeeded: count), at: position &+ 8)
  }

  private func check(limit: UInt64) throws(WireError) {
    guard count <= limit else {
      throw WireError(.oversized, "the access exceeds the transfer limit")
    }
    try checkRange(address.rawValue, count, "the access leaves the address space")
  }
}
