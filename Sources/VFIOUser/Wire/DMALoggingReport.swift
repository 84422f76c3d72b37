/// Asks for, or carries, the log of pages that the device wrote in a range.
///
/// Source: vfio-user specification, `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`.
public struct DMALoggingReport: Hashable, Sendable {
  /// The length in bytes of the part before the bitmap.
  public static let fixedByteCount = 24

  /// Where the range starts.
  public var address: DMAAddress
  /// The length of the range in bytes.
  public var byteCount: UInt64
  /// The length in bytes that one bit stands for; a power of two.
  public var pageByteCount: UInt64
  /// One bit a page, the first in bit 0 of the first byte, padded to a multiple of 8 bytes. Empty in
  /// a request.
  public var bitmap: [UInt8]

  /// Makes a request, or a reply when a bitmap is given.
  public init(
    address: DMAAddress, byteCount: UInt64, pageByteCount: UInt64, bitmap: [UInt8] = []
  ) {
    self.address = address
    self.byteCount = byteCount
    self.pageByteCount = pageByteCount
    self.bitmap = bitmap
  }

  /// Decodes the data of a request; throws when it is not exactly 24 bytes, the range leaves the
  /// 64-bit space, or the page length is no power of two.
  public init(request data: RawSpan) throws(WireError) {
    address = DMAAddress(try data.load(at: 0))
    byteCount = try data.load(at: 8)
    pageByteCount = try data.load(at: 16)
    bitmap = []
    guard data.byteCount == Self.fixedByteCount else {
      throw WireError(.oversized, "DMA_LOGGING_REPORT takes 24 bytes")
    }
    try check()
  }

  /// Decodes the data of a reply; throws as for a request, or when the bitmap has not one bit for
  /// each page of the range.
  public init(reply data: RawSpan) throws(WireError) {
    address = DMAAddress(try data.load(at: 0))
    byteCount = try data.load(at: 8)
    pageByteCount = try data.load(at: 16)
    bitmap = [UInt8](copying: try data.slice(from: Self.fixedByteCount))
    try check()
    guard UInt64(bitmap.count) == bitmapByteCount else {
      throw WireError(.badCount, "the bitmap does not cover the range")
    }
  }

  /// How many bytes the bitmap of this range has, a multiple of 8; zero when no page size is set.
  public var bitmapByteCount: UInt64 {
    guard pageByteCount > 0, byteCount > 0 else { return 0 }
    let pageCount = (byteCount - 1) / pageByteCount + 1
    return ((pageCount - 1) / 64 + 1) * 8
  }

  /// The data of a request or reply.
  public func encodedData() -> [UInt8] {
    var data = [UInt8](repeating: 0, count: Self.fixedByteCount + bitmap.count)
    data.withMutableRawSpan { bytes in
      try? bytes.store(address.rawValue, at: 0)
      try? bytes.store(byteCount, at: 8)
      try? bytes.store(pageByteCount, at: 16)
      try? bytes.store(bytes: bitmap.rawSpan, at: Self.fixedByteCount)
    }
    return data
  }

  private func check() throws(WireError) {
    guard pageByteCount.nonzeroBitCount == 1 else {
      throw WireError(.badCount, "the page size is no power of two")
    }
    try checkRange(address.rawValue, byteCount, "the range leaves the address space")
  }
}
