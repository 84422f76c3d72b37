import VFIOUser

// What is where. Whatever leaves is withdrawn from the hypervisor before anything takes its place.
extension AddressSpace {
  /// Shows a window at `address`; one that is placed already moves there.
  ///
  /// What the hypervisor refuses to take over is reached by exits; the window's `fallbacks` say why.
  /// - Throws: `EEXIST` where something else is placed already, and `EINVAL` where the window leaves
  ///   the space or is empty; the window stays where it was then.
  public func place(
    _ window: RegionWindow, in space: GuestSpace = .memory, at address: GuestAddress
  ) throws(Errno) {
    guard let last = WindowPlacement.last(space, address, window.byteCount) else {
      throw .invalidArgument
    }
    try lock.withLock { () throws(Errno) in
      guard isFree(space, address.rawValue, last, except: window) else { throw .fileExists }
      withdraw(window)
      install(window, space, address)
      publish()
    }
  }

  /// Takes a window away; nothing happens when it is not placed.
  public func remove(_ window: RegionWindow) {
    lock.withLock {
      guard withdraw(window) != nil else { return }
      publish()
    }
  }

  /// Where a window is placed, or nil.
  public func placement(of window: RegionWindow) -> (space: GuestSpace, address: GuestAddress)? {
    lock.withLock {
      windows.first { $0.window === window }.map { ($0.space, GuestAddress($0.address)) }
    }
  }

  /// Reaches a window in another way from now on, wherever it is placed. Its usage starts anew.
  public func replan(_ window: RegionWindow, _ plan: RegionPlan) {
    lock.withLock {
      let old = withdraw(window)
      window.adopt(plan)
      guard let old else { return }
      install(window, old.space, GuestAddress(old.address))
      publish()
    }
  }

  /// Lets the monitor answer a range itself; throws as for a window.
  public func place(
    _ handler: any GuestAccessHandler, in space: GuestSpace = .memory, at address: GuestAddress,
    byteCount: UInt64
  ) throws(Errno) {
    guard let last = WindowPlacement.last(space, address, byteCount) else {
      throw .invalidArgument
    }
    try lock.withLock { () throws(Errno) in
      guard isFree(space, address.rawValue, last) else { throw .fileExists }
      handlers.append(
        HandlerPlacement(
          handler: handler, space: space, start: address.rawValue, last: last))
      publish()
    }
  }

  /// Takes a handler away from wherever it is placed.
  public func remove(_ handler: any GuestAccessHandler) {
    lock.withLock {
      handlers.removeAll { $0.handler === handler }
      publish()
    }
  }

  /// Shows memory: as a slot of the hypervisor if there is one.
  ///
  /// - Throws: as for a window, and what the hypervisor throws.
  public func place(_ memory: MemorySlot) throws(Errno) {
    guard let last = WindowPlacement.last(.memory, memory.address, memory.byteCount),
      memory.memoryOffset <= UInt64(memory.memory.byteCount),
      memory.byteCount <= UInt64(memory.memory.byteCount) - memory.memoryOffset
    else { throw .invalidArgument }
    try lock.withLock { () throws(Errno) in
      guard isFree(.memory, memory.address.rawValue, last) else { throw .fileExists }
      try hypervisor?.addMemory(memory)
      memories.append(memory)
      publish()
    }
  }

  /// Takes the memory away that begins at `address`; throws `ENOENT` where none does.
  public func removeMemory(at address: GuestAddress) throws(Errno) {
    try lock.withLock { () throws(Errno) in
      guard let index = memories.firstIndex(where: { $0.address == address }) else {
        throw .noSuchFileOrDirectory
      }
      try hypervisor?.removeMemory(at: address)
      memories.remove(at: index)
      publish()
    }
  }

  /// Adds, changes or removes a range that goes over a port, beside those that windows bring along.
  ///
  /// It lies over everything but memory. Where the hypervisor provides for such ranges, it does so
  /// here, too. Throws as ``IORegionProvider/set(_:)``.
  public func set(_ region: IORegionAssignment) throws(Errno) {
    var closed: [any IORegionPort] = []
    defer {
      for _ in closed { onEvent(AddressSpaceEvent(.portFailed(.closed), window: nil)) }
    }
    try lock.withLock { () throws(Errno) in
      if let provider = hypervisor?.ioRegionProvider { return try provider.set(region) }
      closed = try ioRegions.assign(region)
      publish()
    }
  }

  // MARK: With the lock held

  private func isFree(
    _ space: GuestSpace, _ start: UInt64, _ last: UInt64, except window: RegionWindow? = nil
  ) -> Bool {
    !windows.contains {
      $0.window !== window && $0.space == space && $0.address <= last && $0.last >= start
    }
      && !handlers.contains { $0.space == space && $0.start <= last && $0.last >= start }
      && (space == .port
        || !memories.contains {
          $0.address.rawValue <= last && $0.address.rawValue + ($0.byteCount - 1) >= start
        })
  }

  private func install(
    _ window: RegionWindow, _ space: GuestSpace, _ address: GuestAddress
  ) {
    let placement = WindowPlacement(window, in: space, at: address, hypervisor, provider)
    window.note(placement: placement.fallbacks)
    windows.append(placement)
  }

  @discardableResult
  private func withdraw(_ window: RegionWindow) -> WindowPlacement? {
    guard let index = windows.firstIndex(where: { $0.window === window }) else { return nil }
    let placement = windows.remove(at: index)
    placement.withdraw(hypervisor, provider)
    return placement
  }
}
