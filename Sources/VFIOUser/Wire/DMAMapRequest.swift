/// Makes a range of client memory available to the device; the reply has no payload.
///
/// A descriptor may accompany the message: the memory can then be mapped, else it is reached by
/// `VFIO_USER_DMA_READ` and `VFIO_USER_DMA_WRITE`.
/// Source: vfio-user specification, `VFIO_USER_DMA_MAP`.
public struct DMAMapRequest: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.dmaMap
  /// The length of the payload in bytes.
  public static let fixedByteCount = 32

  /// What the device may do with the range.
  public var rights: DMARights
  /// Where the range starts in the descriptor's file, in bytes.
  public var fileOffset: UInt64
  /// Where the range starts in the DMA space.
  public var address: DMAAddress
  /// The length of the range in bytes; never zero in a decoded request.
  public var byteCount: UInt64

  /// Makes a request; nothing is checked.
  public init(rights: DMARights, fileOffset: UInt64 = 0, address: DMAAddress, byteCount: UInt64) {
    self.rights = rights
    self.fileOffset = fileOffset
    self.address = address
    self.byteCount = byteCount
  }

  /// Decodes a request.
  ///
  /// Throws when it is not exactly 32 bytes, `argsz` is smaller, a flag is unknown, the range is
  /// empty, or range or file offset leave the 64-bit space. Bits 2 and 3, which libvfio-user adds to
  /// say how the descriptor is to be used, are unknown flags here.
  public init(decoding payload: RawSpan) throws(WireError) {
    let argumentSize: UInt32 = try payload.load(at: 0)
    let flags: UInt32 = try payload.load(at: 4)
    fileOffset = try payload.load(at: 8)
    address = DMAAddress(try payload.load(at: 16))
    byteCount = try payload.load(at: 24)
    rights = DMARights(rawValue: flags)
    guard payload.byteCount == Self.fixedByteCount else {
      throw WireError(.oversized, "DMA_MAP takes 32 bytes")
    }
    guard argumentSize >= UInt32(Self.fixedByteCount) else {
      throw WireError(.badArgumentSize, "DMA_MAP argsz is below 32")
    }
    guard flags & ~3 == 0 else { throw WireError(.badFlags, "DMA_MAP has unknown flags") }
    guard byteCount > 0 else { throw WireError(.badRange, "DMA_MAP of an empty range") }
    try checkRange(address.rawValue, byteCount, "DMA_MAP leaves the address space")
    try checkRange(fileOffset, byteCount, "DMA_MAP leaves the file")
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(UInt32(Self.fixedByteCount), at: offset)
    try bytes.store(rights.rawValue, at: offset + 4)
    try bytes.store(fileOffset, at: offset + 8)
    try bytes.store(address.rawValue, at: offset + 16)
    try bytes.store(byteCount, at: offset + 24)
  }
}

/// Throws `badRange` when the last byte of a range is beyond the 64-bit space.
///
/// A range may end with the very last byte: only its end, one further, would overflow then.
@inline(__always)
func checkRange(
  _ start: UInt64, _ byteCount: UInt64, _ context: StaticString
) throws(WireError) {
  guard byteCount > 0 else { return }
  if start.addingReportingOverflow(byteCount - 1).overflow { throw WireError(.badRange, context) }
}
