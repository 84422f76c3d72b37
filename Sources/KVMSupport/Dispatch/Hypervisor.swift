import VFIOUser

/// What takes accesses over so that they cause no exit; KVM's virtual machine is one.
///
/// Threads: any. An `AddressSpace` calls it with a lock held: it must not call back.
public protocol Hypervisor: AnyObject, Sendable {
  /// Shows memory to the guest.
  ///
  /// - Throws: the kernel's error; `EEXIST` where another slot overlaps, `EINVAL` where something is no
  ///   multiple of the page size, `ENOSPC` when there are no more slots.
  func addMemory(_ slot: MemorySlot) throws(Errno)

  /// Takes the memory away that begins at `address`; throws `ENOENT` when none does.
  func removeMemory(at address: GuestAddress) throws(Errno)

  /// Makes a write signal an eventfd.
  ///
  /// - Throws: the kernel's error; `EEXIST` for a write that signals one already, `ENOSPC` when there
  ///   are too many.
  func assign(_ event: IOEvent) throws(Errno)

  /// Ends what `assign` began; throws `ENOENT` for an event that was not assigned.
  func deassign(_ event: IOEvent) throws(Errno)

  /// What sends accesses over descriptors by itself; nil when the monitor does it after an exit.
  var ioRegionProvider: (any IORegionProvider)? { get }
}
