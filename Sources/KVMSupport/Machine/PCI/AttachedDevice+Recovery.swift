import VFIOUser

// A device that comes back.
extension AttachedDevice {
  /// As ``lose(_:of:)``, of the present client.
  func lose(_ error: ClientError) {
    lose(error, of: client)
  }

  /// Goes on with another connection to the same device, where the guest left it.
  ///
  /// Memory is granted again, the registers of configuration space that the bus knows and the MSI-X table
  /// are written again, interrupts are set up, and windows appear where they were. What else the device
  /// knew is for its server to keep.
  /// - Parameter client: connected with the options of the first one.
  /// - Throws: `badDevice` when it is another device than before, `connection`. It stays lost then.
  public func resume(with client: DeviceClient) throws(MachineError) {
    try announce(client)
    let configuration = try Self.connecting(name) { () throws(ClientError) in
      try client.region(at: DeviceProfile.configurationRegion)
    }
    guard try DeviceProfile(client, configuration, name: name) == profile else {
      throw MachineError(.badDevice, "\(name): this is another device than before")
    }
    let failure = try lock.withLock { () throws(MachineError) -> ClientError? in
      guard loss != nil else { return nil }
      adopt(client)
      self.trouble = nil
      self.configuration = configuration
      try setUp()
      loss = nil
      armMessages()
      do throws(MachineError) {
        try Self.connecting(name) { () throws(ClientError) in try writeAgain() }
      } catch {
        loss = .resumptionFailed
        dropInterrupts()
        throw error
      }
      disarmMessages()
      _ = updatePlacement()
      return takeTrouble()
    }
    if let failure {
      lose(failure, of: client)
      throw MachineError(.connection, "\(name): \(failure)")
    }
    surroundings.report(.deviceResumed(address, name: name))
  }

  /// Tells the device what the guest has told it. The caller holds the lock.
  private func writeAgain() throws(ClientError) {
    func write(_ value: UInt64, at offset: Int, byteCount: Int) throws(ClientError) {
      try configuration.writeWord(
        value, at: RegionOffset(UInt64(offset)), byteCount: byteCount)
    }
    for bar in profile.bars {
      let offset = PCIHeader.firstBAR + bar.index * 4
      for place in bar.is64Bit ? [offset, offset + 4] : [offset] {
        try write(UInt64(shadow.load(at: place, as: UInt32.self)), at: place, byteCount: 4)
      }
    }
    let line: UInt8 = shadow.load(at: PCIHeader.interruptLine)
    try write(UInt64(line), at: PCIHeader.interruptLine, byteCount: 1)
    try writeTableAgain()
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
    // Last, since it lets the device reach memory.
    try write(UInt64(command), at: PCIHeader.command, byteCount: 2)
  }

  private func writeTableAgain() throws(ClientError) {
    guard let layout = profile.msix, let table,
      let region = windows.first(where: { $0.bar.index == layout.tableBAR })?.window.region
    else { return }
    for vector in 0..<table.vectorCount where table.isUsed(vector) {
      for word in stride(from: 0, to: MSIXTable.entryByteCount, by: 4) {
        let offset = vector * MSIXTable.entryByteCount + word
        try region.writeWord(
          table.read(at: offset, byteCount: 4),
          at: RegionOffset(layout.tableOffset + UInt64(offset)), byteCount: 4)
      }
    }
  }
}

extension ClientError {
  fileprivate static let resumptionFailed = ClientError(
    .disconnected, .connectionReset, "the device did not come back")
}
