/// Withdraws a range of client memory; the reply carries the same payload.
///
/// Source: vfio-user specification, `VFIO_USER_DMA_UNMAP`.
public struct DMAUnmapRequest: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.dmaUnmap
  /// The length of the payload in bytes.
  public static let fixedByteCount = 24

  /// The largest reply that the sender takes, in bytes; 24 or more in a decoded request.
  public var argumentSize: UInt32
  /// Where the range starts in the DMA space.
  public var address: DMAAddress
  /// The length of the range in bytes; address and length match an earlier map exactly.
  public var byteCount: UInt64

  /// Makes a request; nothing is checked.
  public init(
    address: DMAAddress, byteCount: UInt64, argumentSize: UInt32 = UInt32(fixedByteCount)
  ) {
    self.argumentSize = argumentSize
    self.address = address
    self.byteCount = byteCount
  }

  /// Decodes a request or its reply.
  ///
  /// Throws when it is not exactly 24 bytes, `argsz` is smaller, a flag is set (VFIO's dirty bitmap
  /// and unmap-all bits are not part of this protocol), or the range leaves the 64-bit space.
  public init(decoding payload: RawSpan) throws(WireError) {
    argumentSize = try payload.load(at: 0)
    let flags: UInt32 = try payload.load(at: 4)
    address = DMAAddress(try payload.load(at: 8))
    byteCount = try payload.load(at: 16)
    guard flags == 0 else { throw WireError(.badFlags, "DMA_UNMAP takes no flags") }
    guard payload.byteCount == Self.fixedByteCount else {
      throw WireError(.oversized, "DMA_UNMAP takes 24 bytes")
    }
    guard argumentSize >= UInt32(Self.fixedByteCount) else {
      throw WireError(.badArgumentSize, "DMA_UNMAP argsz is below 24")
    }
    try checkRange(address.rawValue, byteCount, "DMA_UNMAP leaves the address space")
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(argumentSize, at: offset)
    try bytes.store(UInt32(0), at: offset + 4)
    try bytes.store(address.rawValue, at: offset + 8)
    try bytes.store(byteCount, at: offset + 16)
  }
}

/// The reply to an unmap: the request, echoed, and so of the same type. It names the role where
/// both are at hand.
public typealias DMAUnmapReply = DMAUnmapRequest
