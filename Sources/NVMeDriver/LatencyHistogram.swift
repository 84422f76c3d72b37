/// How often something took how long: buckets whose width is at most a thirty-second of their value.
///
/// Of our own, because the package for it brings a megabyte of code for what is two functions here.
public struct LatencyHistogram: Sendable {
  private static let subBits = 5
  private var counts = [UInt64](repeating: 0, count: 64 << subBits)
  /// How many values there are.
  public private(set) var count: UInt64 = 0

  /// Makes an empty histogram.
  public init() {}

  /// Counts a time in nanoseconds.
  public mutating func record(_ nanoseconds: UInt64) {
    counts[Self.index(nanoseconds)] &+= 1
    count &+= 1
  }

  /// Adds what another has counted.
  public mutating func add(_ other: LatencyHistogram) {
    for index in counts.indices { counts[index] &+= other.counts[index] }
    count &+= other.count
  }

  /// The time in nanoseconds that the given share of all values does not exceed; 0 when there are none.
  public func percentile(_ share: Double) -> UInt64 {
    guard count > 0 else { return 0 }
    let wanted = UInt64((Double(count) * share).rounded(.up))
    var seen: UInt64 = 0
    for (index, number) in counts.enumerated() {
      seen += number
      if seen >= max(wanted, 1) { return Self.value(index) }
    }
    return 0
  }

  private static func index(_ value: UInt64) -> Int {
    guard value >> subBits > 0 else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount - subBits
    return (exponent + 1) << subBits | Int(value >> UInt64(exponent)) & ((1 << subBits) - 1)
  }

  /// The largest value that falls into a bucket.
  private static func value(_ index: Int) -> UInt64 {
    let exponent = index >> subBits
    let low = UInt64(index & ((1 << subBits) - 1))
    guard exponent > 0 else { return low }
    return ((low | 1 << UInt64(subBits)) + 1) << UInt64(exponent - 1) - 1
  }
}
