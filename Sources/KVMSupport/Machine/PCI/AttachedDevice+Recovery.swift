import VFIOUser

// How a server gets to know where the guest is, and what happens when it dies.
extension AttachedDevice {
  // MARK: A server comes

  /// Brings a connection to where the guest has left the device: memory, interrupts, configuration space,
  /// and how windows are reached. The first server comes this way, and so does each later one.
  ///
  /// What else a server's predecessor knew is for it to keep.
  /// - Throws: what the server refuses, or what has ended the connection.
  func establish(_ session: DeviceClient) throws(ClientError) {
    try lock.withLock { () throws(ClientError) in
      self.session = session
      try session.mapMemory(surroundings.memory, at: DMAAddress(0))
      let plans = try windows.map { window throws(ClientError) in try plan(window) }
      dropInterrupts()
      armMessages()
      disarmMessages()
      try restoreConfiguration()
      if let failure = session.connectionFailure { throw failure }
      for (window, plan) in zip(windows, plans) {
        surroundings.space.replan(window.window, plan)
      }
      _ = updatePlacement()
    }
  }

  /// Goes on with another server, if it has the same device.
  func resume(_ session: DeviceClient) throws(ClientError) {
    let isSame: Bool
    do throws(MachineError) {
      isSame = try DeviceProfile(session, name: name) == profile
    } catch {
      guard error.code == .badDevice else {
        throw ClientError(.connectFailed, .connectionReset, "the device cannot be asked")
      }
      isSame = false
    }
    guard isSame else {
      throw ClientError(
        .deviceChanged, .operationNotSupportedByDevice, "another device came back")
    }
    try establish(session)
  }

  /// Tells the device what the guest has told it. The caller holds the lock.
  private func restoreConfiguration() throws(ClientError) {
    let region = try session.region(at: DeviceProfile.configurationRegion)
    func write(_ value: UInt64, at offset: Int, byteCount: Int) throws(ClientError) {
      try region.writeWord(value, at: RegionOffset(UInt64(offset)), byteCount: byteCount)
    }
    for bar in profile.bars {
      let offset = PCIHeader.firstBAR + bar.index * 4
      for place in bar.is64Bit ? [offset, offset + 4] : [offset] {
        try write(UInt64(shadow.load(at: place, as: UInt32.self)), at: place, byteCount: 4)
      }
    }
    let line: UInt8 = shadow.load(at: PCIHeader.interruptLine)
    try write(UInt64(line), at: PCIHeader.interruptLine, byteCount: 1)
    try restoreTable()
    if let msi = profile.capabilities.msi {
      for place in stride(from: 4, through: profile.messageDataOffset, by: 4) {
        try write(
          UInt64(shadow.load(at: msi + place, as: UInt32.self)), at: msi + place,
          byteCount: place == profile.messageDataOffset ? 2 : 4)
      }
      try write(UInt64(shadow.load(at: msi + 2, as: UInt16.self)), at: msi + 2, byteCount: 2)
    }
    if let msix = profile.capabilities.msix {
      try write(UInt64(shadow.load(at: msix + 2, as: UInt16.self)), at: msix + 2, byteCount: 2)
    }
    // Late, since it lets the device reach memory.
    try write(UInt64(command), at: PCIHeader.command, byteCount: 2)
    if powerState != 0, let power = profile.capabilities.powerManagement {
      try write(UInt64(powerState), at: power + 4, byteCount: 2)
    }
  }

  private func restoreTable() throws(ClientError) {
    guard let layout = profile.msix, let table else { return }
    let region = try session.region(at: layout.tableBAR).withoutMappings
    for vector in 0..<table.vectorCount where table.isUsed(vector) {
      for word in stride(from: 0, to: MSIXTable.entryByteCount, by: 4) {
        let offset = vector * MSIXTable.entryByteCount + word
        try region.writeWord(
          table.read(at: offset, byteCount: 4),
          at: RegionOffset(layout.tableOffset + UInt64(offset)), byteCount: 4)
      }
    }
  }

  // MARK: What becomes of the connection

  /// Hears of the connection, on its thread.
  func handle(_ event: ConnectionEvent) {
    switch event {
    case .lost(let error):
      lock.withLock { forgetPaths() }
      surroundings.report(.deviceLost(address, name: name, error))
    case .restored:
      if client.policy.signalsInterrupts { lock.withLock { signalInterrupts() } }
      surroundings.report(.deviceResumed(address, name: name))
    case .givenUp(let error):
      lock.withLock {
        _ = updatePlacement()
        dropInterrupts()
      }
      if client.policy.maximumWait != nil {
        surroundings.report(.deviceGivenUp(address, name: name, error))
      }
      surroundings.windowsLost()
    case .attempting, .attemptFailed: break
    }
  }

  /// Waits until a loss that was noticed has been told, but not for long: the connection's thread may be
  /// busy with a server.
  func awaitEvents() {
    guard isLost, let done = try? EventDescriptorBox(EventDescriptor()) else { return }
    client.onLoop { _ in done.event.signal() }
    _ = done.event.wait(timeout: .seconds(1))
  }

  /// What a vCPU met in a window of this device's. It waits for nobody.
  func met(_ error: ClientError) {
    switch error.code {
    // Its file cannot be believed in any more.
    case .memoryLost: client.drop(error)
    case .interruptedByReconnect: surroundings.report(.accessInterrupted(address, error))
    default: break
    }
  }

  /// What an access of the bus's own met: true, after a moment, when it is to be made again.
  func isToWait(for error: ClientError) -> Bool {
    if error.code == .away {
      client.waitWhileAway(atMost: AddressSpace.moment)
      return true
    }
    met(error)
    return false
  }
}
