import VFIOUser

/// The guest's physical addresses and ports: who answers what.
///
/// Exactly one mechanism answers an access. An ioeventfd takes the writes that match it; else what the
/// address belongs to answers: memory, a handler of the monitor's, or a part of a device's region by
/// the path that its plan chose. An access that straddles parts is split at their borders, the lower
/// address first. What belongs to nobody reads as all-ones and ignores writes.
///
/// Threads: any. Placing and removing may happen while vCPUs access: an access uses the map that was
/// valid when it began.
public final class AddressSpace: Sendable {
  /// What takes accesses over, or nil when every access comes here.
  public let hypervisor: (any Hypervisor)?
  private let onEvent: @Sendable (AddressSpaceEvent) -> Void

  /// Makes an empty space.
  ///
  /// - Parameters:
  ///   - hypervisor: what takes accesses over; nil for a processor in software.
  ///   - onEvent: called once for each loss, on the thread of the vCPU that met it, without a lock.
  public init(
    hypervisor: (any Hypervisor)? = nil,
    onEvent: @escaping @Sendable (AddressSpaceEvent) -> Void = { _ in }
  ) {
    self.hypervisor = hypervisor
    self.onEvent = onEvent
  }

  // MARK: Accesses

  /// Carries an access out on the calling vCPU's thread.
  ///
  /// - Parameter progress: the vCPU's own; after `.interrupted` call again with the same access.
  public func access(
    _ access: GuestAccess, _ progress: inout AccessProgress
  ) -> AccessOutcome {
    .done(access.value == nil ? UInt64.max.truncated(toByteCount: access.byteCount) : 0)
  }

  /// Reads 1 to 8 bytes, whatever signals come.
  public func read(
    _ space: GuestSpace = .memory, at address: GuestAddress, byteCount: Int
  ) -> UInt64 {
    finish(.read(space, at: address, byteCount: byteCount))
  }

  /// Writes the low 1 to 8 bytes of `value`, whatever signals come.
  public func write(
    _ value: UInt64, _ space: GuestSpace = .memory, at address: GuestAddress, byteCount: Int
  ) {
    _ = finish(.write(value, space, at: address, byteCount: byteCount))
  }

  private func finish(_ access: GuestAccess) -> UInt64 {
    var progress = AccessProgress()
    while true {
      if case .done(let value) = self.access(access, &progress) { return value }
    }
  }

  // MARK: Placement

  /// Shows a window at `address`; one that is placed already moves there.
  ///
  /// - Throws: `EEXIST` where something else is placed already, and `EINVAL` where the window leaves
  ///   the space; the window stays where it was then.
  public func place(
    _ window: RegionWindow, in space: GuestSpace = .memory, at address: GuestAddress
  ) throws(Errno) {
  }

  /// Takes a window away; nothing happens when it is not placed.
  public func remove(_ window: RegionWindow) {
  }

  /// Reaches a window in another way from now on, wherever it is placed.
  public func replan(_ window: RegionWindow, _ plan: RegionPlan) {
  }

  /// Lets the monitor answer a range itself; throws as for a window.
  public func place(
    _ handler: any GuestAccessHandler, in space: GuestSpace = .memory, at address: GuestAddress,
    byteCount: UInt64
  ) throws(Errno) {
  }

  /// Takes a handler away from wherever it is placed.
  public func remove(_ handler: any GuestAccessHandler) {
  }

  /// Shows memory: as a slot of the hypervisor if there is one.
  ///
  /// - Throws: as for a window, and what the hypervisor throws.
  public func place(_ memory: MemorySlot) throws(Errno) {
  }

  /// Takes the memory away that begins at `address`; throws `ENOENT` where none does.
  public func removeMemory(at address: GuestAddress) throws(Errno) {
  }
}
