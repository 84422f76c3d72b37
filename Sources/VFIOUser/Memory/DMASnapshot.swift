/// The client's grants at one moment, immutable and quick to search.
///
/// Starts and ends lie in flat sorted tables. A second table divides the span of all grants into
/// equal slices and tells for each where the search begins, so that a lookup among tens of thousands
/// of regular grants touches a handful of cache lines; irregular ones cost a binary search within
/// a slice.
@safe
final class DMASnapshot: @unchecked Sendable {
  let mappings: [DMAMapping]
  private let count: Int
  private let firstAddress: UInt64
  private let lastAddress: UInt64
  private let sliceShift: UInt64
  /// Start and last address of each grant, side by side: one cache line tells both.
  private let bounds: UnsafeMutablePointer<Bounds>
  /// The rights of each grant, by themselves: a lookup that only asks touches no object.
  private let rights: UnsafeMutablePointer<UInt8>
  /// For each slice the first grant that ends in it or later; one more entry than slices.
  private let slices: UnsafeMutablePointer<UInt32>

  private struct Bounds {
    var first: UInt64
    var last: UInt64
  }

  static let empty = DMASnapshot([])

  /// - Parameter mappings: ascending and without overlaps.
  init(_ mappings: [DMAMapping]) {
    self.mappings = mappings
    count = mappings.count
    let first = mappings.first?.range.address.rawValue ?? 0
    let last = mappings.last?.range.lastAddress.rawValue ?? 0
    firstAddress = first
    lastAddress = last
    var shift: UInt64 = 0
    while (last - first) >> shift >= UInt64(max(count, 1)) { shift += 1 }
    sliceShift = shift
    let sliceCount = Int((last - first) >> shift) + 1

    // Safety: the tables are filled to their whole length here, are never written again and are
    // released by deinit; indexes into them come from this type's own arithmetic.
    unsafe bounds = UnsafeMutablePointer.allocate(capacity: max(count, 1))
    unsafe rights = UnsafeMutablePointer.allocate(capacity: max(count, 1))
    unsafe slices = UnsafeMutablePointer.allocate(capacity: sliceCount + 1)
    for (index, mapping) in mappings.enumerated() {
      unsafe (bounds + index).initialize(
        to: Bounds(
          first: mapping.range.address.rawValue, last: mapping.range.lastAddress.rawValue))
      unsafe (rights + index).initialize(to: UInt8(truncatingIfNeeded: mapping.rights.rawValue))
    }
    var next = 0
    for slice in 0..<sliceCount {
      let start = first + UInt64(slice) << shift
      while next < count, unsafe bounds[next].last < start { next += 1 }
      unsafe (slices + slice).initialize(to: UInt32(next))
    }
    unsafe (slices + sliceCount).initialize(to: UInt32(max(count - 1, 0)))
  }

  deinit {
    // Safety: allocated in init, of a trivial type, and nobody else has the pointers.
    unsafe bounds.deallocate()
    unsafe rights.deallocate()
    unsafe slices.deallocate()
  }

  /// Whether grant `index`, if there is one, holds `address`.
  @inline(__always)
  func grant(_ index: Int, contains address: UInt64) -> Bool {
    // Safety: below `count`.
    index < count ? unsafe bounds[index].first <= address && address <= bounds[index].last : false
  }

  /// Whether grant `index` holds the whole of `range`; nil where it does not, else its rights.
  @inline(__always)
  func rights(_ index: Int, over range: DMARange) -> DMARights? {
    // Safety: `index` came from this snapshot's lookup.
    guard unsafe range.lastAddress.rawValue <= bounds[index].last else { return nil }
    return unsafe DMARights(rawValue: UInt32(rights[index]))
  }

  /// The grant that holds `address`, or nil.
  @inline(__always)
  func index(containing address: UInt64) -> Int? {
    guard count > 0, address >= firstAddress, address <= lastAddress else { return nil }
    let slice = Int((address - firstAddress) >> sliceShift)
    // Safety: `address` lies in the span, so `slice` and its successor are entries of the table.
    var low = Int(unsafe slices[slice])
    var high = Int(unsafe slices[slice + 1])
    // The first grant whose end is not before the address.
    while low < high {
      let middle = (low + high) / 2
      // Safety: below `count`, as every entry of `slices` is.
      if unsafe bounds[middle].last < address { low = middle + 1 } else { high = middle }
    }
    // Safety: `low` is at most `count - 1`.
    return unsafe bounds[low].first <= address && address <= bounds[low].last ? low : nil
  }
}
