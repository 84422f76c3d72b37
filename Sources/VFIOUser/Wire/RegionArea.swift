/// A part of a region.
public struct RegionArea: Hashable, Sendable {
  /// Where it starts in the region.
  public var offset: RegionOffset
  /// Its length in bytes.
  public var byteCount: UInt64

  /// Makes an area; nothing is checked.
  public init(offset: RegionOffset, byteCount: UInt64) {
    self.offset = offset
    self.byteCount = byteCount
  }
}
