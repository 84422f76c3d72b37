import VFIOUser

/// `KVM_SET_IOREGION` in user space: which ranges of a machine's addresses go over which port.
///
/// An ``AddressSpace`` has one and looks into it when an access has exited. Memory and ports are
/// separate. The ranges of a port are gone once the server has closed its end.
///
/// Threads: any.
/// Source: the ioregionfd design, `KVM_SET_IOREGION`.
public final class IORegionTable: IORegionProvider, @unchecked Sendable {
  private let lock = ConditionLock()
  /// In order of their addresses, without overlaps. Guarded by `lock`.
  private var regions: [GuestSpace: [IORegionAssignment]] = [:]

  /// An empty table.
  public init() {}

  /// Adds, changes or removes a range; see ``IORegionProvider/set(_:)``, as which it throws.
  public func set(_ region: IORegionAssignment) throws(Errno) {
    _ = try assign(region)
  }

  /// As `set`; returns the ports that were found closed, whose ranges are gone.
  func assign(_ region: IORegionAssignment) throws(Errno) -> [any IORegionPort] {
    guard region.flags.isSubset(of: .known), region.byteCount > 0 else { throw .invalidArgument }
    let (end, overflow) = region.address.rawValue.addingReportingOverflow(region.byteCount)
    // As for the kernel's other ranges: the very last byte of the space cannot be had.
    guard !overflow, region.space == .memory || end <= region.space.last.rawValue + 1 else {
      throw .invalidArgument
    }
    return try lock.withLock { () throws(Errno) in
      guard let port = region.port else {
        try removeExactly(region)
        return []
      }
      guard port.isOpen else { throw .badFileDescriptor }
      var closed: [any IORegionPort] = []
      for other in overlapping(region) where other.port?.isOpen == false {
        guard let port = other.port, !closed.contains(where: { $0 === port }) else { continue }
        closed.append(port)
        _ = removeAll(of: port)
      }
      try insert(region)
      return closed
    }
  }

  /// The ranges, in order of their addresses.
  public func regions(in space: GuestSpace) -> [IORegionAssignment] {
    lock.withLock { regions[space] ?? [] }
  }

  /// Forgets all ranges of a port; returns whether there were any.
  @discardableResult
  public func drop(_ port: any IORegionPort) -> Bool {
    lock.withLock { removeAll(of: port) }
  }

  // MARK: With the lock held

  private func overlapping(_ region: IORegionAssignment) -> [IORegionAssignment] {
    let all = regions[region.space] ?? []
    let first = all.firstIndex(from: { $0.last >= region.address.rawValue })
    return Array(all[first...].prefix { $0.address.rawValue <= region.last })
  }

  private func insert(_ region: IORegionAssignment) throws(Errno) {
    var all = regions[region.space] ?? []
    let found = overlapping(region)
    let index = all.firstIndex(from: { $0.address >= region.address })
    if found.isEmpty {
      all.insert(region, at: index)
    } else if found.count == 1, found[0].address == region.address,
      found[0].byteCount == region.byteCount
    {
      all[index] = region
    } else {
      throw .invalidArgument
    }
    regions[region.space] = all
  }

  private func removeExactly(_ region: IORegionAssignment) throws(Errno) {
    let found = overlapping(region)
    guard found.count == 1, found[0].address == region.address,
      found[0].byteCount == region.byteCount
    else { throw .noSuchFileOrDirectory }
    regions[region.space]?.removeAll { $0.address == region.address }
  }

  private func removeAll(of port: any IORegionPort) -> Bool {
    var isFound = false
    for space in GuestSpace.allCases {
      let kept = (regions[space] ?? []).filter { $0.port !== port }
      if kept.count != regions[space]?.count ?? 0 { isFound = true }
      regions[space] = kept
    }
    return isFound
  }
}

extension IORegionAssignment {
  /// The last address of the range, which is not empty.
  var last: UInt64 { address.rawValue + (byteCount - 1) }
}
