/// A range of a region whose reads change nothing in the device.
public struct RepeatableReads: Hashable, Sendable {
  /// Which region.
  public var region: Int
  /// Where the range starts in the region, in bytes.
  public var offset: RegionOffset
  /// The length of the range in bytes.
  public var byteCount: UInt64

  /// Makes a range.
  public init(region: Int, offset: RegionOffset, byteCount: UInt64) {
    self.region = region
    self.offset = offset
    self.byteCount = byteCount
  }

  /// Whether an access lies wholly inside.
  func covers(_ region: Int, _ offset: RegionOffset, _ byteCount: Int) -> Bool {
    guard region == self.region, offset.rawValue >= self.offset.rawValue else { return false }
    let start = offset.rawValue - self.offset.rawValue
    return start <= self.byteCount && UInt64(byteCount) <= self.byteCount - start
  }
}
