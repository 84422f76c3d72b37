/// What the client has granted, as the session changes it.
///
/// Threads: confined to the session's loop. Readers on any loop use the snapshots that it publishes.
final class DMATable {
  /// The most grants at a time; the protocol's default for max_dma_maps.
  let capacity: Int
  private var mappings: [DMAMapping] = []
  private var published: DMASnapshot? = .empty

  init(capacity: Int) { self.capacity = capacity }

  var count: Int { mappings.count }

  /// The grants as they are now. Made when it is asked for: a burst of maps costs one snapshot.
  var snapshot: DMASnapshot {
    if let published { return published }
    let fresh = DMASnapshot(mappings)
    published = fresh
    return fresh
  }

  /// Adds a grant.
  ///
  /// - Throws: `EEXIST` when it overlaps one, `ENOSPC` when the table is full.
  func insert(_ mapping: DMAMapping) throws(Errno) {
    let place = try placeForInsertion(of: mapping.range)
    mappings.insert(mapping, at: place)
    published = nil
  }

  /// Where a grant of `range` would go; throws as `insert` does.
  @discardableResult
  func placeForInsertion(of range: DMARange) throws(Errno) -> Int {
    let place = lowerBound(range.address)
    if place < mappings.count, mappings[place].range.overlaps(range) { throw .fileExists }
    if place > 0, mappings[place - 1].range.overlaps(range) { throw .fileExists }
    guard mappings.count < capacity else { throw .noSpace }
    return place
  }

  /// Takes out the grant that has exactly this range.
  ///
  /// - Throws: `EINVAL` when a grant overlaps it otherwise, `ENOENT` when there is none at all.
  func remove(_ range: DMARange) throws(Errno) -> DMAMapping {
    let place = try checkRemoval(range)
    published = nil
    return mappings.remove(at: place)
  }

  /// Where the grant of exactly this range is; throws as `remove` does.
  @discardableResult
  func checkRemoval(_ range: DMARange) throws(Errno) -> Int {
    let place = lowerBound(range.address)
    if place < mappings.count, mappings[place].range == range { return place }
    let overlapsNext = place < mappings.count && mappings[place].range.overlaps(range)
    let overlapsPrevious = place > 0 && mappings[place - 1].range.overlaps(range)
    throw overlapsNext || overlapsPrevious ? .invalidArgument : .noSuchFileOrDirectory
  }

  /// Lets go of the snapshot. Before a change this keeps the grants from being copied for it.
  func discardSnapshot() { published = nil }

  /// Takes out everything.
  func removeAll() -> [DMAMapping] {
    let removed = mappings
    mappings = []
    published = .empty
    return removed
  }

  /// The index of the first grant that starts at `address` or later.
  private func lowerBound(_ address: DMAAddress) -> Int {
    // Clients map in ascending order as a rule.
    if let last = mappings.last, last.range.address < address { return mappings.count }
    var low = 0
    var high = mappings.count
    while low < high {
      let middle = (low + high) / 2
      if mappings[middle].range.address < address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
