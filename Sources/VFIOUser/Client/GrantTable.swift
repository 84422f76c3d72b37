/// The ranges of client memory that a device may reach, by address.
///
/// Ranges never overlap, so that a sorted array finds one by bisection.
struct GrantTable {
  struct Grant {
    let address: DMAAddress
    let byteCount: UInt64
    let rights: DMARights
    /// Nil where the device may reach nothing any more, though the server may not have heard of that.
    var memory: (any ClientMemory)?
    /// Where the range starts in `memory`, in bytes.
    let memoryOffset: Int

    var lastAddress: UInt64 { address.rawValue + (byteCount - 1) }
  }

  private var grants: [Grant] = []

  var count: Int { grants.count }

  /// Adds a grant; false when it overlaps another one.
  mutating func insert(_ grant: Grant) -> Bool {
    let index = firstIndex(endingAtOrAfter: grant.address.rawValue)
    if index < grants.count, grants[index].address.rawValue <= grant.lastAddress { return false }
    grants.insert(grant, at: index)
    return true
  }

  /// Removes exactly this grant; false when there is none.
  mutating func remove(address: DMAAddress, byteCount: UInt64) -> Bool {
    guard let index = index(address, byteCount) else { return false }
    grants.remove(at: index)
    return true
  }

  /// Lets the device reach nothing of exactly this grant any more, and keeps its place.
  mutating func withdraw(address: DMAAddress, byteCount: UInt64) {
    if let index = index(address, byteCount) { grants[index].memory = nil }
  }

  /// Exactly this grant, or nil.
  func grant(address: DMAAddress, byteCount: UInt64) -> Grant? {
    index(address, byteCount).map { grants[$0] }
  }

  /// Checks that adjacent grants with these rights cover the range.
  ///
  /// - Throws: EFAULT outside the grants, EPERM against their rights.
  func check(_ access: DMAAccess, _ rights: DMARights) throws(Errno) {
    var address = access.address.rawValue
    var remaining = access.count
    var index = firstIndex(endingAtOrAfter: address)
    while remaining > 0 {
      guard index < grants.count, grants[index].address.rawValue <= address,
        grants[index].memory != nil
      else { throw .badAddress }
      guard grants[index].rights.isSuperset(of: rights) else { throw .notPermitted }
      let available = grants[index].lastAddress - address
      guard remaining - 1 > available else { return }
      remaining -= available + 1
      let (next, overflow) = address.addingReportingOverflow(available + 1)
      guard !overflow else { throw .badAddress }
      address = next
      index += 1
    }
  }

  /// Copies memory into `bytes` from `position` on; the range has been checked.
  func read(
    _ access: DMAAccess, into bytes: inout MutableRawSpan, at position: Int
  ) throws(Errno) {
    var done = 0
    while done < Int(access.count) {
      let piece = try piece(of: access, from: done)
      var copy = [UInt8](repeating: 0, count: piece.byteCount)
      try copy.withMutableRawSpan { target throws(Errno) in
        try piece.memory.read(at: piece.offset, into: &target)
      }
      do { try bytes.store(bytes: copy.rawSpan, at: position + done) } catch { throw error.errno }
      done += piece.byteCount
    }
  }

  /// Copies `bytes` into memory; the range has been checked.
  func write(_ access: DMAAccess, from bytes: RawSpan) throws(Errno) {
    var done = 0
    while done < Int(access.count) {
      let piece = try piece(of: access, from: done)
      try piece.memory.write(
        at: piece.offset, from: bytes.extracting(done..<(done + piece.byteCount)))
      done += piece.byteCount
    }
  }

  private func piece(
    of access: DMAAccess, from done: Int
  ) throws(Errno) -> (memory: any ClientMemory, offset: Int, byteCount: Int) {
    let address = access.address.rawValue &+ UInt64(done)
    let index = firstIndex(endingAtOrAfter: address)
    guard index < grants.count, grants[index].address.rawValue <= address,
      let memory = grants[index].memory
    else { throw .badAddress }
    let start = address - grants[index].address.rawValue
    let available = grants[index].byteCount - start
    return (
      memory, grants[index].memoryOffset + Int(start),
      Int(min(available, access.count - UInt64(done)))
    )
  }

  private func index(_ address: DMAAddress, _ byteCount: UInt64) -> Int? {
    let index = firstIndex(endingAtOrAfter: address.rawValue)
    guard index < grants.count, grants[index].address == address,
      grants[index].byteCount == byteCount
    else { return nil }
    return index
  }

  private func firstIndex(endingAtOrAfter address: UInt64) -> Int {
    var low = 0
    var high = grants.count
    while low < high {
      let middle = (low + high) / 2
      if grants[middle].lastAddress < address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
