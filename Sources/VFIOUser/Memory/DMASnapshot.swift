import CVFIOUserLinux

/// The client's grants at one moment, immutable and quick to search.
///
/// What an access needs of a grant lies side by side in a flat sorted table. A second table divides
/// the span of all grants into equal slices and tells for each where the search begins, so that a
/// lookup among tens of thousands of regular grants touches a handful of cache lines; irregular ones
/// cost a binary search within a slice.
@safe
final class DMASnapshot: @unchecked Sendable {
  /// What an access needs to know of one grant, without touching an object.
  @safe
  struct Grant {
    var first: UInt64
    var last: UInt64
    /// Where the grant lies in this process; nil where it is reached otherwise.
    var start: UnsafeMutableRawPointer?
    var rights: UInt32

    @inline(__always)
    func contains(_ address: UInt64) -> Bool { first <= address && address <= last }
  }

  let mappings: [DMAMapping]
  /// The grants, ascending; `count` of them, or one that holds no address.
  let grants: UnsafeMutablePointer<Grant>
  let count: Int
  /// The process's count of lost pages when `hasLost` was found out.
  let lossCount: UInt64
  /// Whether a page of any of the grants was lost.
  let hasLost: Bool
  private let firstAddress: UInt64
  private let lastAddress: UInt64
  private let sliceShift: UInt64
  /// For each slice the first grant that ends in it or later; one more entry than slices.
  private let slices: UnsafeMutablePointer<UInt32>

  static let empty = DMASnapshot([])

  /// - Parameter mappings: ascending and without overlaps.
  init(_ mappings: [DMAMapping]) {
    self.mappings = mappings
    count = mappings.count
    // Before the mappings are asked: what is lost meanwhile shows in the count.
    lossCount = cvfu_loss_count()
    hasLost = lossCount != 0 && mappings.contains(where: \.isLost)
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
    unsafe grants = UnsafeMutablePointer.allocate(capacity: max(count, 1))
    unsafe slices = UnsafeMutablePointer.allocate(capacity: sliceCount + 1)
    unsafe grants.initialize(to: Grant(first: .max, last: 0, start: nil, rights: 0))
    for (index, mapping) in mappings.enumerated() {
      unsafe (grants + index).initialize(
        to: Grant(
          first: mapping.range.address.rawValue, last: mapping.range.lastAddress.rawValue,
          start: mapping.start, rights: mapping.rights.rawValue))
    }
    var next = 0
    for slice in 0..<sliceCount {
      let start = first + UInt64(slice) << shift
      while next < count, unsafe grants[next].last < start { next += 1 }
      unsafe (slices + slice).initialize(to: UInt32(next))
    }
    unsafe (slices + sliceCount).initialize(to: UInt32(max(count - 1, 0)))
  }

  deinit {
    // Safety: allocated in init, of trivial types; engines drop their copies with the snapshot.
    unsafe grants.deallocate()
    unsafe slices.deallocate()
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
      if unsafe grants[middle].last < address { low = middle + 1 } else { high = middle }
    }
    // Safety: `low` is at most `count - 1`.
    return unsafe grants[low].contains(address) ? low : nil
  }
}
