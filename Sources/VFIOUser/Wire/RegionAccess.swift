/// The fixed part of a region read or write, in requests and replies alike.
///
/// The data of a write request and of a read reply follows it; it is not copied here.
/// Source: vfio-user specification, `VFIO_USER_REGION_READ` and `VFIO_USER_REGION_WRITE`.
public struct RegionAccess: Hashable, Sendable {
  /// The length of the fixed part in bytes, which is where the data starts.
  public static let fixedByteCount = 16

  /// Where the access starts in the region.
  public var offset: RegionOffset
  /// Which region; any number comes off the wire.
  public var region: UInt32
  /// How many bytes are accessed.
  public var count: UInt32

  /// Makes the fixed part of an access.
  @inline(__always)
  public init(offset: RegionOffset, region: UInt32, count: UInt32) {
    self.offset = offset
    self.region = region
    self.count = count
  }

  /// Decodes the fixed part and leaves the data alone; throws `truncated` when it is not there.
  @inline(__always)
  public init(decoding payload: RawSpan) throws(WireError) {
    offset = RegionOffset(try payload.load(at: 0))
    region = try payload.load(at: 8)
    count = try payload.load(at: 12)
  }

  /// Decodes a read request; throws when it is not exactly 16 bytes, reads more than `limit` bytes,
  /// or leaves the 64-bit space.
  @inline(__always)
  public static func readRequest(
    _ payload: RawSpan, limit: UInt32
  ) throws(WireError) -> RegionAccess {
    let access = try RegionAccess(decoding: payload)
    guard payload.byteCount == fixedByteCount else {
      throw WireError(.oversized, "REGION_READ takes 16 bytes")
    }
    try access.check(limit: limit)
    return access
  }

  /// Decodes a write request; throws when its data has not `count` bytes, it writes more than
  /// `limit` bytes, or leaves the 64-bit space.
  @inline(__always)
  public static func writeRequest(
    _ payload: RawSpan, limit: UInt32
  ) throws(WireError) -> RegionAccess {
    let access = try RegionAccess(decoding: payload)
    guard payload.byteCount - fixedByteCount == Int(access.count) else {
      throw WireError(.badCount, "REGION_WRITE count is not the length of its data")
    }
    try access.check(limit: limit)
    return access
  }

  /// Checks the reply to this read and returns its data: a server may return fewer bytes than asked
  /// for, never more, and never bytes of another place.
  ///
  /// - Throws: `truncated` for less than 16 bytes, `badCount` for another place or length.
  @inline(__always)
  @_lifetime(copy payload)
  public func readReply(_ payload: RawSpan) throws(WireError) -> RawSpan {
    let reply = try RegionAccess(decoding: payload)
    guard reply.offset == offset, reply.region == region, reply.count <= count else {
      throw WireError(.badCount, "the reply to REGION_READ is not for this read")
    }
    guard payload.byteCount - Self.fixedByteCount == Int(reply.count) else {
      throw WireError(.badCount, "REGION_READ count is not the length of its data")
    }
    return try payload.slice(from: Self.fixedByteCount)
  }

  /// Checks the reply to this write and returns how many bytes the server wrote; throws as
  /// ``readReply(_:)``.
  @inline(__always)
  public func writeReply(_ payload: RawSpan) throws(WireError) -> Int {
    let reply = try RegionAccess(decoding: payload)
    guard payload.byteCount == Self.fixedByteCount, reply.offset == offset,
      reply.region == region, reply.count <= count
    else { throw WireError(.badCount, "the reply to REGION_WRITE is not for this write") }
    return Int(reply.count)
  }

  /// Writes the fixed part into `bytes` at `position`; throws `truncated` when it does not fit.
  @inline(__always)
  public func encode(into bytes: inout MutableRawSpan, at position: Int) throws(WireError) {
    try bytes.store(offset.rawValue, at: position)
    try bytes.store(region, at: position &+ 8)
    try bytes.store(count, at: position &+ 12)
  }

  @inline(__always)
  private func check(limit: UInt32) throws(WireError) {
    guard count <= limit else {
      throw WireError(.oversized, "the access exceeds the transfer limit")
    }
    try checkRange(offset.rawValue, UInt64(count), "the access leaves the address space")
  }
}
