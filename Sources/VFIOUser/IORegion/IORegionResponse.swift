/// The answer to an access over an ioregionfd: 32 bytes, of which 8 mean something.
///
/// ```
/// data (8)  padding (24)
/// ```
///
/// Source: the ioregionfd design, "Wire protocol".
public struct IORegionResponse: Hashable, Sendable {
  /// The length of an encoded response in bytes.
  public static let byteCount = 32

  /// What was read, zero-extended, in the host's byte order at any width; zero for a write.
  public var data: UInt64

  /// Makes a response.
  public init(data: UInt64 = 0) { self.data = data }

  /// Decodes a response; its padding is not looked at.
  ///
  /// - Throws: `truncated` or `oversized` when it has not 32 bytes.
  public init(decoding bytes: RawSpan) throws(WireError) {
    guard bytes.byteCount >= Self.byteCount else {
      throw WireError(.truncated, "an ioregionfd response has less than 32 bytes")
    }
    guard bytes.byteCount == Self.byteCount else {
      throw WireError(.oversized, "an ioregionfd response has more than 32 bytes")
    }
    data = try bytes.load(at: 0)
  }

  /// Writes the 32 bytes into `bytes` at `position`; throws `truncated` when they do not fit.
  public func encode(into bytes: inout MutableRawSpan, at position: Int = 0) throws(WireError) {
    try bytes.zero(at: position, byteCount: Self.byteCount)
    try bytes.store(data, at: position)
  }
}
