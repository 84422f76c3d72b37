import VFIOUser

/// What `KVM_SET_IOREGION` would be: it sends the accesses to a range over a port.
///
/// No kernel has it today. ``IORegionTable`` does it in user space, after an exit; a kernel that has
/// it would be another provider, and its accesses would not exit.
///
/// Threads: any.
/// Source: the ioregionfd design, `KVM_SET_IOREGION`.
public protocol IORegionProvider: AnyObject, Sendable {
  /// Adds, changes or removes a range.
  ///
  /// A range whose address and length are those of one that is there is changed; with `port` nil it
  /// is removed. When the server closes its end of a port, all ranges of that port are gone by
  /// themselves, and their accesses exit.
  /// - Throws: `EINVAL` for an empty range, one that leaves its address space, one that overlaps
  ///   another without being equal to it, and for flags that are not known; `ENOENT` when there is
  ///   nothing to remove; `EBADF` for a port that is closed.
  func set(_ region: IORegionAssignment) throws(Errno)
}
