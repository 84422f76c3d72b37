/// A set of block numbers, kept as ascending ranges that neither touch nor overlap.
struct BlockRangeSet: Sendable, Equatable {
  private(set) var ranges: [Range<UInt64>] = []

  var isEmpty: Bool { ranges.isEmpty }

  /// The first block of the set that lies in `range`.
  func first(in range: Range<UInt64>) -> UInt64? {
    let index = firstIndex(endingAfter: range.lowerBound)
    guard index < ranges.count, ranges[index].lowerBound < range.upperBound else { return nil }
    return max(ranges[index].lowerBound, range.lowerBound)
  }

  mutating func insert(_ range: Range<UInt64>) {
    guard !range.isEmpty else { return }
    var merged = range
    var first = firstIndex(endingAfter: range.lowerBound)
    // A range that ends where the new one begins is joined as well.
    if first > 0, ranges[first - 1].upperBound == range.lowerBound { first -= 1 }
    var end = first
    while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
      merged =
        min(
          merged.lowerBound, ranges[end].lowerBound)..<max(
          merged.upperBound, ranges[end].upperBound)
      end += 1
    }
    ranges.replaceSubrange(first..<end, with: [merged])
  }

  mutating func remove(_ range: Range<UInt64>) {
    guard !range.isEmpty else { return }
    let first = firstIndex(endingAfter: range.lowerBound)
    var end = first
    var rest: [Range<UInt64>] = []
    while end < ranges.count, ranges[end].lowerBound < range.upperBound {
      let old = ranges[end]
      if old.lowerBound < range.lowerBound { rest.append(old.lowerBound..<range.lowerBound) }
      if old.upperBound > range.upperBound { rest.append(range.upperBound..<old.upperBound) }
      end += 1
    }
    ranges.replaceSubrange(first..<end, with: rest)
  }

  private func firstIndex(endingAfter block: UInt64) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound <= block { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
