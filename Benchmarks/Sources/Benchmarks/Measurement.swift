import CAllocationCounter

/// Times of one thing, measured in rounds that alternate with what it is compared to.
///
/// The machines that run this are shared: single figures say little, ratios of figures that were
/// taken in turns say much more.
struct Measurement {
  var nanosecondsPerOperation: [Double] = []

  var median: Double {
    let sorted = nanosecondsPerOperation.sorted()
    return sorted.isEmpty ? .nan : sorted[sorted.count / 2]
  }

  var minimum: Double { nanosecondsPerOperation.min() ?? .nan }

  /// Times `count` operations that `body` carries out.
  mutating func time(_ count: Int, _ body: () throws -> Void) rethrows {
    let start = cac_nanoseconds()
    try body()
    nanosecondsPerOperation.append(Double(cac_nanoseconds() - start) / Double(count))
  }

  /// The median over rounds of this figure divided by that of the same round of `floor`.
  func ratio(to floor: Measurement) -> Double {
    let ratios = zip(nanosecondsPerOperation, floor.nanosecondsPerOperation).map { $0 / $1 }
      .sorted()
    return ratios.isEmpty ? .nan : ratios[ratios.count / 2]
  }
}
