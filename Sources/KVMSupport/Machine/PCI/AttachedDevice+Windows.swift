import VFIOUser

// Where the device's BARs are, and how they are reached.
extension AttachedDevice {
  /// Makes a window of each BAR, placed nowhere and reached by messages.
  func makeWindows() throws(ClientError) -> [DeviceWindow] {
    var windows: [DeviceWindow] = []
    for bar in profile.bars {
      var region = try client.region(at: bar.index).withoutMappings
      if bar.isPrefetchable { region = region.repeatingReads }
      windows.append(
        DeviceWindow(
          bar: bar,
          window: RegionWindow(
            region: region, plan: RegionPlan(messagesFor: region.info),
            intercepts: intercepts(bar.index), changes: surroundings.changes)))
    }
    return windows
  }

  /// What the machine itself answers in a BAR.
  private func intercepts(_ bar: Int) -> [RegionWindow.Intercept] {
    guard let msix = profile.msix else { return [] }
    var intercepts: [RegionWindow.Intercept] = []
    if msix.tableBAR == bar {
      intercepts.append(
        RegionWindow.Intercept(
          msix.tableOffset..<(msix.tableOffset + msix.tableByteCount),
          RegionIntercept(self, isTable: true)))
    }
    if msix.pendingBAR == bar {
      intercepts.append(
        RegionWindow.Intercept(
          msix.pendingOffset..<(msix.pendingOffset + msix.pendingByteCount),
          RegionIntercept(self, isTable: false)))
    }
    return intercepts
  }

  /// Brings every window to where the guest has put it. The caller holds the lock.
  ///
  /// - Returns: whether one has left its place.
  func updatePlacement() -> Bool {
    let command: UInt16 = shadow.load(at: PCIHeader.command)
    var hasMoved = false
    for index in windows.indices {
      let bar = windows[index].bar
      let enable =
        bar.isPort ? PCIHeader.Command.ioSpace : PCIHeader.Command.memorySpace
      let offset = PCIHeader.firstBAR + bar.index * 4
      let raw =
        bar.is64Bit
        ? shadow.load(at: offset, as: UInt64.self)
        : UInt64(shadow.load(at: offset, as: UInt32.self))
      let isOn = !isGone && command & enable != 0
      let wanted = isOn ? bar.address(raw: raw) : nil
      if wanted == nil { windows[index].refusedAddress = nil }
      guard wanted != windows[index].address else { continue }
      hasMoved = hasMoved || windows[index].address != nil
      move(&windows[index], to: wanted)
    }
    return hasMoved
  }

  private func move(_ window: inout DeviceWindow, to wanted: GuestAddress?) {
    let space = surroundings.space
    guard let wanted else {
      space.remove(window.window)
      window.address = nil
      return
    }
    do throws(Errno) {
      try space.place(window.window, in: window.space, at: wanted)
      window.address = wanted
      window.refusedAddress = nil
    } catch {
      space.remove(window.window)
      window.address = nil
      guard window.refusedAddress != wanted else { return }
      window.refusedAddress = wanted
      // A guest must not be able to keep the monitor busy with telling of it.
      guard refusals.count < Self.refusalLimit else { return }
      refusals.insert("BAR \(window.bar.index) at \(wanted)")
      surroundings.report(
        .windowRefused(address, bar: window.bar.index, wanted, error))
    }
  }

  /// Tries again to place windows that found something else in their place.
  func retryPlacement() {
    lock.withLock {
      guard windows.contains(where: { $0.refusedAddress != nil }) else { return }
      _ = updatePlacement()
    }
  }

  // MARK: How windows are reached

  /// Asks how a window is best reached. The caller holds the lock.
  func plan(_ window: DeviceWindow) throws(ClientError) -> RegionPlan {
    let region = try session.region(at: window.bar.index)
    // A region that has another size now would not fit into the window that the guest knows.
    guard region.byteCount == window.bar.regionByteCount else {
      throw ClientError(.deviceChanged, .invalidArgument, "a region has another size than before")
    }
    return try RegionPlan(asking: region)
  }

  /// The server is gone, and with it each way to reach it: a slot, an eventfd or a descriptor would only
  /// swallow what the guest does. The caller holds the lock.
  func forgetPaths() {
    for window in windows {
      surroundings.space.replan(
        window.window, RegionPlan(messagesFor: window.window.region.info))
    }
  }

  /// Asks again how a region is reached, because the server says that it has changed.
  func replan(region index: Int) {
    let isReplanned = lock.withLock {
      guard client.isConnected, let window = windows.first(where: { $0.bar.index == index }),
        let plan = try? calling({ () throws(ClientError) in try plan(window) })
      else { return false }
      surroundings.space.replan(window.window, plan)
      return true
    }
    guard isReplanned else { return }
    surroundings.report(.deviceReplanned(address, region: index))
  }

  /// Whether a window is one of this device's. It waits for nobody.
  func owns(_ window: RegionWindow) -> Bool {
    (window.region as? ReconnectingRegion)?.client === client
  }

  /// Takes every window away, and all that was set up, for good.
  func detach() {
    client.close()
    lock.withLock {
      _ = updatePlacement()
      dropInterrupts()
      windows = []
    }
  }

  /// Where each BAR is at present; its window knows how it is reached, and how often each way was used.
  public var placements:
    [(bar: Int, space: GuestSpace, address: GuestAddress?, window: RegionWindow)]
  {
    lock.withLock { windows.map { ($0.bar.index, $0.space, $0.address, $0.window) } }
  }
}
