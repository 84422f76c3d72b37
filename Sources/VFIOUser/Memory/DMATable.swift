/// What the client has granted, as the session changes it.
///
/// Threads: the session's loop changes it; `snapshot` and `snapshotCount` are for any thread.
final class DMATable: @unchecked Sendable {
  /// The most grants at a time; the protocol's default for max_dma_maps.
  let capacity: Int
  /// Guards the rest: other loops ask for snapshots while the session's changes the grants.
  private let lock = ConditionLock()
  private var mappings: [DMAMapping] = []
  private var latest: DMASnapshot? = .empty
  private var madeCount = 0

  init(capacity: Int) { self.capacity = capacity }

  /// How many grants there are.
  var count: Int { lock.withLock { mappings.count } }

  /// How many snapshots were made so far: what changes of the grants have cost.
  var snapshotCount: Int { lock.withLock { madeCount } }

  /// The grants as they are now. Made when it is asked for, and kept until they change: a burst of
  /// changes that nobody looks at costs none.
  var snapshot: DMASnapshot {
    lock.withLock {
      if let latest { return latest }
      let fresh = DMASnapshot(mappings)
      latest = fresh
      madeCount += 1
      return fresh
    }
  }

  /// Adds a grant.
  ///
  /// - Throws: `EEXIST` when it overlaps one, `ENOSPC` when the table is full.
  func insert(_ mapping: DMAMapping) throws(Errno) {
    try lock.withLock { () throws(Errno) in
      let place = try insertionPlace(of: mapping.range)
      // First: a snapshot that nobody else keeps would have the grants copied for the change.
      latest = nil
      mappings.insert(mapping, at: place)
    }
  }

  /// Throws as `insert` would for a grant of `range`.
  func checkInsertion(of range: DMARange) throws(Errno) {
    try lock.withLock { () throws(Errno) in _ = try insertionPlace(of: range) }
  }

  /// Takes out the grant that has exactly this range.
  ///
  /// - Throws: `EINVAL` when a grant overlaps it otherwise, `ENOENT` when there is none at all.
  func remove(_ range: DMARange) throws(Errno) -> DMAMapping {
    try lock.withLock { () throws(Errno) in
      let place = try removalPlace(of: range)
      latest = nil
      return mappings.remove(at: place)
    }
  }

  /// Throws as `remove` would for this range.
  func checkRemoval(of range: DMARange) throws(Errno) {
    try lock.withLock { () throws(Errno) in _ = try removalPlace(of: range) }
  }

  /// Takes out everything.
  func removeAll() -> [DMAMapping] {
    lock.withLock {
      let removed = mappings
      mappings = []
      latest = .empty
      return removed
    }
  }

  // MARK: With the lock held

  private func insertionPlace(of range: DMARange) throws(Errno) -> Int {
    let place = lowerBound(range.address)
    if place < mappings.count, mappings[place].range.overlaps(range) { throw .fileExists }
    if place > 0, mappings[place - 1].range.overlaps(range) { throw .fileExists }
    guard mappings.count < capacity else { throw .noSpace }
    return place
  }

  private func removalPlace(of range: DMARange) throws(Errno) -> Int {
    let place = lowerBound(range.address)
    if place < mappings.count, mappings[place].range == range { return place }
    let overlapsNext = place < mappings.count && mappings[place].range.overlaps(range)
    let overlapsPrevious = place > 0 && mappings[place - 1].range.overlaps(range)
    throw overlapsNext || overlapsPrevious ? .invalidArgument : .noSuchFileOrDirectory
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
