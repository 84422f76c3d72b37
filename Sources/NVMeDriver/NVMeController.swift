public import NVMe
public import VFIOUser

/// An NVMe controller, driven by this process: no kernel, no virtual machine.
///
/// ```swift
/// let controller = try NVMeController.attach(path: "/run/disk.sock")
/// let disk = try controller.namespace(1)
/// try controller.write(disk, block: 0, [UInt8](repeating: 0x5a, count: disk.blockByteCount))
/// try controller.flush(disk)
/// let data = try controller.read(disk, block: 0, count: 8)
/// ```
///
/// These calls wait for one command after the other. Many commands at a time go through
/// ``makeQueuePair(entryCount:usesInterrupt:)``.
///
/// It drives any NVMe device that is served over vfio-user, ours or not, and trusts it as far as a
/// driver trusts its hardware: the device may change the shared memory at any time, but no call waits
/// longer than ``NVMeDriverOptions/timeout`` allows.
///
/// Threads: one owner. Queue pairs that it has made may go to other threads.
///
/// Source: NVMe 1.4, sections 3.1 and 7.6.
public final class NVMeController {
  /// The connection to the device.
  public let client: DeviceClient
  /// What the controller can do, as its register says.
  public let capabilities: ControllerCapabilities
  /// What the controller says of itself.
  public private(set) var identity = IdentifyController()
  /// Whether the doorbells are reached without messages.
  public let mapsDoorbells: Bool
  /// How many I/O queue pairs there can be at a time, as the controller has granted.
  public private(set) var queuePairLimit = 0

  let pool: NVMePool
  let registers: ClientRegion
  /// Constant, but that tests shorten the time-out.
  var options: NVMeDriverOptions
  let doorbellStride: UInt64
  let admin: NVMeQueuePair
  /// The descriptors of doorbells that carry values; empty where they are rung otherwise.
  let doorbellParts: [(part: RegionIODescriptor, port: NVMeDoorbellPort)]
  /// The pages of shadow doorbells and of event indexes; nil without.
  var shadow: (values: NVMeBuffer, indexes: NVMeBuffer)?
  var interrupts: [ClientInterrupt] = []
  var pairs: [NVMeQueuePair] = []
  /// The pair of the calls that wait.
  var ownPair: NVMeQueuePair?
  /// Memory that commands may still use which were given up: free after a reset.
  var abandoned: [NVMeBuffer] = []

  /// Connects to a device and gets its controller ready; a driver that was there before has lost it.
  ///
  /// - Parameters:
  ///   - path: a socket, or a folder that holds one called `cntrl`.
  ///   - options: how to take it.
  /// - Throws: `connection` when nobody serves there, `unsupported` for a device that is none,
  ///   `timedOut` and `fatal` when the controller does not get ready.
  public static func attach(
    path: String, options: NVMeDriverOptions = NVMeDriverOptions()
  ) throws(NVMeDriverError) -> NVMeController {
    var clientOptions = ClientOptions()
    clientOptions.timeout = options.timeout
    clientOptions.mapsRegions = options.doorbells.wantsMapping
    // The paths of doorbells change with what the driver itself asks for: there is nothing to be told.
    if options.doorbells == .ioeventfd { clientOptions.onRegionChanged = { _ in } }
    let client: DeviceClient
    do throws(ClientError) {
      client = try DeviceClient.connect(path: path, options: clientOptions)
    } catch {
      throw NVMeDriverError(.connection, "\(path): \(error)")
    }
    return try NVMeController(client, options: options)
  }

  /// Takes the device behind a connection and gets its controller ready.
  ///
  /// It grants the device memory at 4 GiB, ``NVMeDriverOptions/memoryByteCount`` of it, which must be
  /// free on that connection. To map doorbells or not is for the connection's own options to say.
  ///
  /// - Throws: as ``attach(path:options:)``.
  public init(
    _ client: DeviceClient, options: NVMeDriverOptions = NVMeDriverOptions()
  ) throws(NVMeDriverError) {
    self.client = client
    self.options = options
    do {
      registers = try client.region(at: 0)
      let configuration = try client.region(at: 7)
      let classCode: UInt32 = try configuration.read(at: RegionOffset(8))
      guard classCode >> 8 == 0x01_0802 else {
        throw ClientError(.unsupported, .noSuchAddressOrDevice, "the device is no NVMe controller")
      }
      // Memory space, and no pin interrupt.
      let command: UInt16 = try configuration.read(at: RegionOffset(4))
      try configuration.write(command | 0x402, at: RegionOffset(4))
      let value: UInt64 = try registers.read(
        at: RegionOffset(ControllerRegisterOffset.capabilities))
      capabilities = ControllerCapabilities(rawValue: value)
      // What another driver has left running must not find this one's memory at its own addresses.
      try Self.disable(registers, options.timeout)
      pool = try NVMePool(
        client, byteCount: options.memoryByteCount, at: DMAAddress(0x1_0000_0000),
        isShared: options.sharesMemory)
      // Bus master.
      try configuration.write(command | 0x406, at: RegionOffset(4))
    } catch let error as ClientError {
      throw NVMeDriverError(error, "cannot take the device")
    } catch let error as NVMeDriverError {
      throw error
    } catch {
      throw NVMeDriverError(.connection, "cannot take the device")
    }
    doorbellStride = 4 << UInt64(capabilities.doorbellStride)
    mapsDoorbells = registers.mappedAreas.contains {
      $0.offset.rawValue <= ControllerRegisterOffset.doorbells
        && $0.offset.rawValue + $0.byteCount > ControllerRegisterOffset.doorbells
    }
    guard options.doorbells != .mapped || mapsDoorbells else {
      throw NVMeDriverError(.unsupported, "the device does not let its doorbells be mapped")
    }
    guard capabilities.minimumPageShift == 0 else {
      throw NVMeDriverError(.unsupported, "the controller has no pages of 4 KiB")
    }
    doorbellParts =
      options.doorbells == .ioregionfd ? try Self.makeParts(client, registers, options) : []
    admin = try NVMeQueuePair(
      identifier: 0, entryCount: min(max(options.adminEntryCount, 2), 4096), pool: pool,
      registers: registers, stride: doorbellStride, shadow: nil, interrupt: nil)
    try connectDoorbells(of: admin)
    try enable()
    identity = IdentifyController(try identify(1, namespace: 0))
    try prepareQueues()
  }

  /// Ends the connection; the device keeps its state. Every later call fails.
  public func close() { client.close() }

  // MARK: Registers

  /// Controller Status (CSTS).
  ///
  /// - Throws: `connection` when the connection is over, `timedOut` when the server does not answer.
  public func status() throws(NVMeDriverError) -> ControllerStatus {
    ControllerStatus(rawValue: try readRegister(ControllerRegisterOffset.status))
  }

  /// Reads a register of 4 bytes; throws as ``status()``.
  ///
  /// - Parameter offset: in bytes from the start of BAR 0, a multiple of 4.
  public func readRegister(_ offset: UInt64) throws(NVMeDriverError) -> UInt32 {
    do throws(ClientError) { return try registers.read(at: RegionOffset(offset)) } catch {
      throw NVMeDriverError(error, "cannot read a register")
    }
  }

  /// Writes a register of 4 bytes, or a doorbell; throws as ``status()``.
  ///
  /// - Parameter offset: as for ``readRegister(_:)``.
  public func writeRegister(_ value: UInt32, _ offset: UInt64) throws(NVMeDriverError) {
    do throws(ClientError) { try registers.write(value, at: RegionOffset(offset)) } catch {
      throw NVMeDriverError(error, "cannot write a register")
    }
  }

  private func writeAddress(_ value: DMAAddress, _ offset: UInt64) throws(NVMeDriverError) {
    do throws(ClientError) {
      try registers.write(value.rawValue, at: RegionOffset(offset))
    } catch {
      throw NVMeDriverError(error, "cannot write a register")
    }
  }

  // MARK: Enable, reset, shut down

  private static func disable(
    _ registers: ClientRegion, _ timeout: Duration
  ) throws(NVMeDriverError) {
    do throws(ClientError) {
      let place = RegionOffset(ControllerRegisterOffset.configuration)
      var configuration = ControllerConfiguration(rawValue: try registers.read(at: place))
      if configuration.isEnabled {
        configuration.isEnabled = false
        try registers.write(configuration.rawValue, at: place)
      }
    } catch {
      throw NVMeDriverError(error, "cannot disable the controller")
    }
    try wait(registers, timeout, "the controller to be disabled") { !$0.isReady }
  }

  /// Enables the controller, which is disabled, with the driver's admin queues.
  private func enable() throws(NVMeDriverError) {
    let entries = UInt32(admin.entryCount - 1)
    try writeRegister(
      entries | entries << 16, ControllerRegisterOffset.adminQueueAttributes)
    try writeAddress(admin.submission.address, ControllerRegisterOffset.adminSubmissionQueue)
    try writeAddress(admin.completion.address, ControllerRegisterOffset.adminCompletionQueue)
    var wanted = ControllerConfiguration(rawValue: 0)
    wanted.submissionEntryShift = 6
    wanted.completionEntryShift = 4
    wanted.isEnabled = true
    try writeRegister(wanted.rawValue, ControllerRegisterOffset.configuration)
    try Self.wait(
      registers, options.timeout, "the controller to get ready", failsWhenFatal: true
    ) { $0.isReady }
  }

  /// Settles with a controller that was just enabled what all I/O queues depend on.
  private func prepareQueues() throws(NVMeDriverError) {
    // 64 of each kind, numbered from 0.
    let granted = try setFeature(.queueCount, 63 | 63 << 16)
    queuePairLimit = min(Int(granted & 0xffff), Int(granted >> 16)) + 1
    guard options.doorbells.isShadowed else { return }
    // The device says how far apart doorbells are, and only those within the page have a shadow.
    queuePairLimit = min(queuePairLimit, Self.shadowedPairLimit(stride: doorbellStride))
    try setShadowDoorbells()
  }

  private static func wait(
    _ registers: ClientRegion, _ timeout: Duration, _ what: String,
    failsWhenFatal: Bool = false, _ isSo: (ControllerStatus) -> Bool
  ) throws(NVMeDriverError) {
    let deadline = MonotonicTime.now.advanced(by: timeout)
    while true {
      let status: ControllerStatus
      do throws(ClientError) {
        status = ControllerStatus(
          rawValue: try registers.read(at: RegionOffset(ControllerRegisterOffset.status)))
      } catch {
        throw NVMeDriverError(error, "waiting for \(what)")
      }
      guard status.rawValue != .max else {
        throw NVMeDriverError(.connection, "waiting for \(what): the device is gone")
      }
      if isSo(status) { return }
      if failsWhenFatal, status.isFatal { throw NVMeDriverError(.fatal, "waiting for \(what)") }
      guard MonotonicTime.now < deadline else {
        throw NVMeDriverError(.timedOut, "waiting for \(what)")
      }
      MemoryBarrier.yield()
    }
  }

  /// Resets the controller: what is in flight is lost, and all queue pairs are gone.
  ///
  /// Calls on a pair from before throw `invalidArgument`; no other thread may use one meanwhile. What
  /// commands that were in flight should have written may be written or not, block by block.
  ///
  /// - Throws: as ``attach(path:options:)``; the controller can be reset again then.
  public func reset() throws(NVMeDriverError) {
    try Self.disable(registers, options.timeout)
    // From here on the controller leaves the memory alone.
    for pair in pairs { pair.release(to: pool) }
    for buffer in abandoned { pool.release(buffer) }
    if let shadow {
      pool.release(shadow.values)
      pool.release(shadow.indexes)
    }
    pairs = []
    abandoned = []
    ownPair = nil
    shadow = nil
    try admin.reset()
    try enable()
    try prepareQueues()
  }

  /// Shuts the controller down: what was written is on its medium afterwards.
  ///
  /// Commands are carried out again after ``reset()``.
  ///
  /// - Throws: as ``status()``; `timedOut` when the controller does not come to an end.
  public func shutDown() throws(NVMeDriverError) {
    var configuration = ControllerConfiguration(
      rawValue: try readRegister(ControllerRegisterOffset.configuration))
    configuration.shutdownNotification = .normal
    try writeRegister(configuration.rawValue, ControllerRegisterOffset.configuration)
    try Self.wait(registers, options.timeout, "the shutdown") { $0.shutdown == .complete }
  }
}
