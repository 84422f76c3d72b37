/// A region as the data path wants it: everything that an access is checked against in one place.
final class HostedRegion {
  let region: Region
  let byteCount: UInt64
  let rights: RegionFlags
  /// Whether a range runs on a loop of its own.
  let needsOtherLoop: Bool

  init(_ region: Region, _ layout: RegionLayout) {
    self.region = region
    byteCount = min(region.byteCount, layout.byteCount)
    rights = layout.rights
    needsOtherLoop = region.ranges.contains { $0.loop != nil }
  }
}
