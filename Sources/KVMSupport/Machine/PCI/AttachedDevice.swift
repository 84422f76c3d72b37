import VFIOUser

/// A device in another process, as a function of the guest's PCI bus.
///
/// Its configuration space is the device's own, but for what the bus must be able to rely on: where the
/// windows are, whether they are on, and how interrupts are delivered. Of those the guest's writes count,
/// whatever the device says. The device gets them as well.
///
/// A device that is lost answers all ones everywhere, until ``resume(with:)``.
///
/// Threads: any. A configuration write holds the device's lock until it has taken effect, so that those of
/// several CPUs take effect in the order in which the device has seen them. Lock order: this one, then
/// those of the address space, the interrupt controller and the client.
public final class AttachedDevice: PCIBusFunction, @unchecked Sendable {
  /// Where it sits.
  public let address: PCIAddress
  /// What it is called in messages: usually its socket.
  public let name: String

  let surroundings: DeviceSurroundings
  /// The registers of its windows, what it can do, and its identity; taken when it was attached.
  let profile: DeviceProfile

  /// Guards everything below.
  let lock = ConditionLock()
  var client: DeviceClient
  var configuration: ClientRegion
  var shadow: PCIConfigurationShadow
  var windows: [DeviceWindow] = []
  /// The last value of the command register that a guest wrote.
  var command: UInt16 = 0
  /// The power state that the guest asked for, 0 to 3.
  var powerState: UInt32 = 0
  var table: MSIXTable?
  var line: DeviceLine?
  var messages: [DeviceVector] = []
  var vectors: [Int: DeviceVector] = [:]
  /// How many messages MSI was set up for; 0 while it is not in use.
  var messageCount = 0
  /// What was refused and reported.
  var refusals: Set<String> = []
  /// How many refusals are reported.
  static let refusalLimit = 1000
  /// Why it is lost.
  var loss: ClientError?

  /// Attaches a device; nothing of it is placed yet.
  ///
  /// - Throws: `badDevice` for a device that is no PCI function or says what cannot be, `connection` for
  ///   one that does not answer.
  init(
    _ client: DeviceClient, at address: PCIAddress, name: String,
    _ surroundings: DeviceSurroundings
  ) throws(MachineError) {
    self.address = address
    self.name = name
    self.surroundings = surroundings
    self.client = client
    configuration = try Self.connecting(name) { () throws(ClientError) in
      try client.region(at: DeviceProfile.configurationRegion)
    }
    profile = try DeviceProfile(client, configuration, name: name)
    shadow = profile.makeShadow(
      interruptLine: profile.pin == 0 ? 0xff : surroundings.line(address.device, profile.pin))
    table = profile.msix.map { MSIXTable(vectorCount: $0.vectorCount) }
    try lock.withLock { () throws(MachineError) in try setUp() }
  }

  /// Connects everything to the present client. The caller holds the lock.
  func setUp() throws(MachineError) {
    try Self.connecting(name) { () throws(ClientError) in
      try client.mapMemory(surroundings.memory, at: DMAAddress(0))
      windows = try makeWindows()
    }
    armLine()
  }

  /// Runs calls of a client, and says whose they were.
  static func connecting<Result>(
    _ name: String, _ body: () throws(ClientError) -> Result
  ) throws(MachineError) -> Result {
    do throws(ClientError) { return try body() } catch {
      throw MachineError(.connection, "\(name): \(error)")
    }
  }

  // MARK: Configuration space

  /// Reads configuration space; all ones when the device is lost or refuses.
  public func readConfiguration(at offset: Int, byteCount: Int) -> UInt32 {
    let (region, kept) = lock.withLock { () -> (ClientRegion?, UInt32?) in
      guard loss == nil else { return (nil, nil) }
      guard shadow.keepsAll(at: offset, byteCount: byteCount) else { return (configuration, nil) }
      return (nil, shadow.merge(0, at: offset, byteCount: byteCount))
    }
    if let kept { return kept }
    guard let region else { return UInt32.max.truncated(toByteCount: byteCount) }
    do throws(ClientError) {
      let value = try region.readWord(
        at: RegionOffset(UInt64(offset)), byteCount: byteCount)
      return lock.withLock {
        shadow.merge(UInt32(truncatingIfNeeded: value), at: offset, byteCount: byteCount)
      }
    } catch {
      lose(error, of: region.client)
      return UInt32.max.truncated(toByteCount: byteCount)
    }
  }

  /// Writes configuration space, and does what follows from it before it returns.
  public func writeConfiguration(_ value: UInt32, at offset: Int, byteCount: Int) {
    var failure: ClientError?
    var hasMoved = false
    let present = lock.withLock { () -> DeviceClient in
      guard loss == nil else { return client }
      shadow.write(value, at: offset, byteCount: byteCount)
      noteCommand(value, at: offset, byteCount: byteCount)
      // What is delivered in a new way is ready before the device knows of it.
      armMessages()
      do throws(ClientError) {
        // A ROM would answer where the bus has no window for it.
        if offset & ~3 != PCIHeader.expansionROM {
          try configuration.writeWord(
            UInt64(value), at: RegionOffset(UInt64(offset)), byteCount: byteCount)
        }
      } catch {
        failure = error
      }
      noteReset(value, at: offset, byteCount: byteCount)
      disarmMessages()
      hasMoved = updatePlacement()
      return client
    }
    if let failure { lose(failure, of: present) }
    if hasMoved { surroundings.windowsMoved() }
  }

  /// Remembers the command register as a whole: what the shadow does not keep must be there again when
  /// the device comes back.
  private func noteCommand(_ value: UInt32, at offset: Int, byteCount: Int) {
    for index in 0..<byteCount {
      let place = offset + index - PCIHeader.command
      guard place == 0 || place == 1 else { continue }
      let byte = UInt16(truncatingIfNeeded: value >> UInt32(index * 8) & 0xff)
      command = command & ~(0xff << UInt16(place * 8)) | byte << UInt16(place * 8)
    }
  }

  /// Follows writes that reset the function: all of the shadow begins anew.
  private func noteReset(_ value: UInt32, at offset: Int, byteCount: Int) {
    func byte(at place: Int) -> UInt32? {
      (0..<byteCount).contains(place - offset) ? value >> UInt32((place - offset) * 8) & 0xff : nil
    }
    var isReset = false
    if let express = profile.capabilities.pciExpress, profile.hasFunctionLevelReset,
      let control = byte(at: express + 9), control & 0x80 != 0
    {
      isReset = true
    }
    if let power = profile.capabilities.powerManagement, let control = byte(at: power + 4) {
      // Only D0 and D3hot; who knows others loses nothing by them.
      isReset = isReset || powerState == 3 && control & 3 == 0 && !profile.keepsStateInD3
      if control & 3 == 0 || control & 3 == 3 { powerState = control & 3 }
    }
    if isReset { forgetState() }
  }

  /// Back to how it was when it was attached; the device is there already.
  private func forgetState() {
    shadow.reset()
    command = 0
    powerState = 0
    table = profile.msix.map { MSIXTable(vectorCount: $0.vectorCount) }
  }

  /// Resets the device, as a machine does that starts again.
  ///
  /// - Throws: what the server says, or why it cannot be reached.
  public func reset() throws(ClientError) {
    let hasMoved = try lock.withLock { () throws(ClientError) in
      if let loss { throw loss }
      try client.reset()
      forgetState()
      disarmMessages()
      return updatePlacement()
    }
    if hasMoved { surroundings.windowsMoved() }
  }

  // MARK: Loss

  /// Whether the device's server is gone.
  public var isLost: Bool { lock.withLock { loss != nil } }

  /// Takes note of an error. After one that ends the connection, or a server that does not answer in
  /// time, the device is lost: nothing may wait for it again and again.
  func lose(_ error: ClientError, of client: DeviceClient) {
    switch error.code {
    case .disconnected, .protocolViolation, .timedOut, .memoryLost: break
    default: return
    }
    // Whoever waits for a reply gives up now.
    client.close()
    let isNew = lock.withLock {
      guard loss == nil, self.client === client else { return false }
      loss = error
      _ = updatePlacement()
      dropInterrupts()
      return true
    }
    guard isNew else { return }
    surroundings.report(.deviceLost(address, name: name, error))
    surroundings.windowsMoved()
  }
}
