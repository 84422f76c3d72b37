import VFIOUser

/// A device in another process, as a function of the guest's PCI bus.
///
/// Its configuration space is the device's own, but for what the bus must be able to rely on: where the
/// windows are, whether they are on, and how interrupts are delivered. Of those the guest's writes count,
/// whatever the device says. The device gets them as well.
///
/// When its server dies, what the guest has of it is torn down at once. Where the policy waits for another
/// server, accesses wait, too; it is brought to where the guest left the device before they go on. Else the
/// device answers all ones everywhere.
///
/// Threads: any. A configuration write holds the device's lock until it has taken effect, so that those of
/// several CPUs take effect in the order in which the device has seen them. Nobody waits with it for a
/// server to come back. Lock order: this one, then those of the address space, the interrupt controller and
/// the client.
public final class AttachedDevice: PCIBusFunction, @unchecked Sendable {
  /// Where it sits.
  public let address: PCIAddress
  /// What it is called in messages: usually its socket.
  public let name: String

  let surroundings: DeviceSurroundings
  /// The registers of its windows, what it can do, and its identity; taken when it was attached.
  let profile: DeviceProfile
  /// The connection, which outlives its servers.
  let client: ReconnectingClient
  let configuration: ReconnectingRegion

  /// Guards everything below.
  let lock = ConditionLock()
  /// The connection to the present server; to the last one while it is away.
  var session: DeviceClient
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

  /// Attaches a device; nothing of it is placed yet.
  ///
  /// - Parameter client: with ``policy(_:)``.
  /// - Throws: `badDevice` for a device that is no PCI function or says what cannot be, `connection` for
  ///   one that does not answer.
  init(
    _ client: ReconnectingClient, at address: PCIAddress, name: String,
    _ surroundings: DeviceSurroundings
  ) throws(MachineError) {
    self.address = address
    self.name = name
    self.surroundings = surroundings
    self.client = client
    guard let session = client.connection else {
      throw MachineError(.connection, "\(name): \(ClientError.away)")
    }
    self.session = session
    profile = try DeviceProfile(session, name: name)
    configuration = try Self.connecting(name) { () throws(ClientError) in
      try client.region(at: DeviceProfile.configurationRegion)
    }
    shadow = profile.makeShadow(
      interruptLine: profile.pin == 0 ? 0xff : surroundings.line(address.device, profile.pin))
    table = profile.msix.map { MSIXTable(vectorCount: $0.vectorCount) }
    try Self.connecting(name) { () throws(ClientError) in
      windows = try makeWindows()
      try establish(session)
    }
  }

  /// What a device needs of the policy of its connection, whatever else that says.
  static func policy(_ policy: ReconnectPolicy) -> ReconnectPolicy {
    var policy = policy
    // CPUs wait without a lock, and look now and then whether they shall stop.
    policy.callsWait = false
    // Nothing may wait for a server that does not answer again and again.
    policy.endsSilentConnections = true
    policy.servesInBackground = true
    return policy
  }

  /// Runs calls of a client, and says whose they were.
  static func connecting<Result>(
    _ name: String, _ body: () throws(ClientError) -> Result
  ) throws(MachineError) -> Result {
    do throws(ClientError) { return try body() } catch {
      throw MachineError(.connection, "\(name): \(error)")
    }
  }

  /// Runs calls of the session that others may follow. After one that ends the connection those fail at
  /// once, so that a server which does not answer is waited for once. The caller holds the lock.
  func calling<Result>(
    _ body: () throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    do throws(ClientError) { return try body() } catch {
      switch error.code {
      case .disconnected, .protocolViolation, .timedOut:
        client.note(error, of: session)
        session.close()
      default: break
      }
      throw error
    }
  }

  // MARK: Configuration space

  /// Reads configuration space; all ones when the device is lost or refuses, nil while it is away.
  public func readConfiguration(at offset: Int, byteCount: Int) -> UInt32? {
    let none = UInt32.max.truncated(toByteCount: byteCount)
    guard !isGone else { return none }
    let kept = lock.withLock {
      shadow.keepsAll(at: offset, byteCount: byteCount)
        ? shadow.merge(0, at: offset, byteCount: byteCount) : nil
    }
    if let kept { return kept }
    do throws(ClientError) {
      let value = try configuration.readWord(
        at: RegionOffset(UInt64(offset)), byteCount: byteCount)
      return lock.withLock {
        shadow.merge(UInt32(truncatingIfNeeded: value), at: offset, byteCount: byteCount)
      }
    } catch {
      return isToWait(for: error) ? nil : none
    }
  }

  /// Writes configuration space, and does what follows from it before it returns; false while the device
  /// is away.
  @discardableResult
  public func writeConfiguration(_ value: UInt32, at offset: Int, byteCount: Int) -> Bool {
    var failure: ClientError?
    var hasMoved = false
    lock.withLock {
      guard !isGone else { return }
      guard !client.isAway else { return failure = .away }
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
      // It never got there: all of this happens once more.
      if failure?.code == .away { return }
      noteReset(value, at: offset, byteCount: byteCount)
      disarmMessages()
      hasMoved = updatePlacement()
    }
    if hasMoved { surroundings.windowsMoved() }
    return failure.map { !isToWait(for: $0) } ?? true
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
      if let failure = client.failure { throw failure }
      try calling { () throws(ClientError) in try session.reset() }
      forgetState()
      disarmMessages()
      return updatePlacement()
    }
    if hasMoved { surroundings.windowsMoved() }
  }

  // MARK: Loss

  /// Whether the device's server is gone; it may come back where the policy waits for it.
  public var isLost: Bool { !client.isConnected }

  /// Whether nobody waits for it any more.
  var isGone: Bool { client.failure != nil }

  /// Gives the connection up, quietly and for good: whoever waits for the server gives up. It waits for
  /// nobody.
  func abandon() { client.close() }
}
