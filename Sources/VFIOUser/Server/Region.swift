/// One device region: what answers each of its bytes.
///
/// Ranges do not overlap. Bytes that no range claims read as zero and ignore writes. An access that
/// spans ranges is cut at their borders and answered in ascending order.
///
/// Threads: nothing of it changes. An access runs on the thread that asks for it, which must be the
/// loop of each range that it touches.
public final class Region {
  /// The region's size in bytes.
  public let byteCount: UInt64
  /// The claimed ranges, ascending.
  public let ranges: [RegionRange]

  /// Makes a region of `byteCount` bytes.
  ///
  /// - Throws: `EINVAL` when a range is empty, ends past the region or overlaps another.
  public init(byteCount: UInt64, ranges: [RegionRange]) throws(Errno) {
    let sorted = ranges.sorted { $0.offset < $1.offset }
    var end: UInt64 = 0
    for range in sorted {
      let (last, overflow) = range.offset.rawValue.addingReportingOverflow(range.byteCount)
      guard range.byteCount > 0, !overflow, last <= byteCount, range.offset.rawValue >= end else {
        throw .invalidArgument
      }
      end = last
    }
    self.byteCount = byteCount
    self.ranges = sorted
  }

  /// A region that one handler answers alone.
  ///
  /// - Throws: `EINVAL` for no bytes at all.
  public convenience init(byteCount: UInt64, handler: any RegionHandler) throws(Errno) {
    try self.init(
      byteCount: byteCount,
      ranges: [RegionRange(offset: RegionOffset(0), byteCount: byteCount, handler: handler)])
  }

  /// The range that holds `offset`, or nil.
  @inline(__always)
  func range(containing offset: UInt64) -> RegionRange? {
    guard let index = index(containing: offset) else { return nil }
    return ranges[index]
  }

  /// The index of the range that holds `offset`, or nil.
  @inline(__always)
  func index(containing offset: UInt64) -> Int? {
    // One range is the common case (a register block, configuration space); a search serves the
    // rest.
    if ranges.count == 1 { return ranges[0].contains(offset) ? 0 : nil }
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].offset.rawValue <= offset { low = middle + 1 } else { high = middle }
    }
    guard low > 0, ranges[low - 1].contains(offset) else { return nil }
    return low - 1
  }
}
