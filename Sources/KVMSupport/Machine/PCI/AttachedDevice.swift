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

  /// Which connection it has. Whoever holds `lock` may wait for the server; this one nobody holds for
  /// long, so that a connection can be given up at any time.
  private struct Connection: Sendable {
    var client: DeviceClient
    /// Takes the place of `client` soon.
    var next: DeviceClient?
    var isAbandoned = false
  }

  private let connection: Guarded<Connection>
  /// The present client.
  var client: DeviceClient { connection.withLock { $0.client } }

  /// Guards everything below, and changes of `client`.
  let lock = ConditionLock()
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
  /// The error that has ended the connection, until it is taken note of.
  var trouble: ClientError?

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
    connection = Guarded(Connection(client: client))
    configuration = try Self.connecting(name) { () throws(ClientError) in
      try client.region(at: DeviceProfile.configurationRegion)
    }
    profile = try DeviceProfile(client, configuration, name: name)
    shadow = profile.makeShadow(
      interruptLine: profile.pin == 0 ? 0xff : surroundings.line(address.device, profile.pin))
    table = profile.msix.map { MSIXTable(vectorCount: $0.vectorCount) }
    let failure = try lock.withLock { () throws(MachineError) -> ClientError? in
      try setUp()
      return takeTrouble()
    }
    if let failure { throw MachineError(.connection, "\(name): \(failure)") }
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

  /// Runs calls of the present client that others may follow. After one that ends the connection those
  /// fail at once, so that a server which does not answer is waited for once. The caller holds the lock.
  func calling<Result>(
    _ body: () throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    do throws(ClientError) { return try body() } catch {
      if Self.endsConnection(error) {
        trouble = trouble ?? error
        client.close()
      }
      throw error
    }
  }

  /// Takes what has ended the connection. The caller holds the lock.
  func takeTrouble() -> ClientError? {
    defer { trouble = nil }
    return trouble
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
          try calling { () throws(ClientError) in
            try configuration.writeWord(
              UInt64(value), at: RegionOffset(UInt64(offset)), byteCount: byteCount)
          }
        }
      } catch {
        failure = error
      }
      noteReset(value, at: offset, byteCount: byteCount)
      disarmMessages()
      hasMoved = updatePlacement()
      failure = takeTrouble() ?? failure
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
    var failure: ClientError?
    var hasMoved = false
    let present = try lock.withLock { () throws(ClientError) -> DeviceClient in
      if let loss { throw loss }
      do throws(ClientError) {
        try calling { () throws(ClientError) in try client.reset() }
        forgetState()
        disarmMessages()
        hasMoved = updatePlacement()
      } catch {
        failure = error
      }
      failure = takeTrouble() ?? failure
      return client
    }
    if let failure {
      lose(failure, of: present)
      throw failure
    }
    if hasMoved { surroundings.windowsMoved() }
  }

  // MARK: Loss

  /// Whether the device's server is gone.
  public var isLost: Bool { lock.withLock { loss != nil } }

  /// Takes note of an error. After one that ends the connection, or a server that does not answer in
  /// time, the device is lost: nothing may wait for it again and again.
  func lose(_ error: ClientError, of client: DeviceClient) {
    guard Self.endsConnection(error) else { return }
    // Whoever waits for a reply gives up now.
    client.close()
    guard self.client === client else { return }
    let isNew = lock.withLock {
      guard loss == nil, self.client === client else { return false }
      loss = error
      _ = updatePlacement()
      dropInterrupts()
      return true
    }
    // What was given up here is no news.
    guard isNew, !connection.withLock(\.isAbandoned) else { return }
    surroundings.report(.deviceLost(address, name: name, error))
    surroundings.windowsLost()
  }

  private static func endsConnection(_ error: ClientError) -> Bool {
    switch error.code {
    case .disconnected, .protocolViolation, .timedOut, .memoryLost: true
    default: false
    }
  }

  // MARK: Another connection

  /// Says which client comes next, so that it is given up with the present one.
  func announce(_ next: DeviceClient) throws(MachineError) {
    let isAbandoned = connection.withLock { connection in
      connection.next = next
      return connection.isAbandoned
    }
    if isAbandoned { throw MachineError(.connection, "\(name) was given up") }
  }

  /// Puts the next client in the place of the present one. The caller holds the lock.
  func adopt(_ client: DeviceClient) {
    connection.withLock { connection in
      connection.client = client
      connection.next = nil
    }
  }

  /// Gives the connection up, quietly and for good: whoever waits for the server gives up. It waits for
  /// nobody.
  func abandon() {
    let (client, next) = connection.withLock { connection in
      connection.isAbandoned = true
      return (connection.client, connection.next)
    }
    client.close()
    next?.close()
  }
}

extension ClientError {
  /// Of a device whose machine is closed.
  static let machineClosed = ClientError(.disconnected, .brokenPipe, "the machine is closed")
}
