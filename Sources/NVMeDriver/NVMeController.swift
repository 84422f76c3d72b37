public import NVMe
public import VFIOUser

/// How a driver takes a controller.
public struct NVMeDriverOptions: Sendable {
  /// The longest wait for a command of the driver's own, and for the controller to get ready.
  public var timeout: Duration = .seconds(10)
  /// How doorbells are rung.
  public var doorbells: NVMeDoorbells = .auto
  /// How much memory there is for queues and data, in bytes.
  public var memoryByteCount = 64 << 20
  /// How many entries the admin queues have: 2 to 4096.
  public var adminEntryCount = 32

  /// Makes the default options.
  public init() {}
}

/// An NVMe controller, driven by this process: no kernel, no virtual machine.
///
/// ```swift
/// let controller = try NVMeController.attach(path: "/run/disk.sock")
/// let disk = try controller.namespace(1)
/// let data = try controller.read(disk, block: 0, count: 8)
/// ```
///
/// It drives any NVMe device that is served over vfio-user, ours or not.
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

  let pool: NVMePool
  private let registers: ClientRegion
  private let options: NVMeDriverOptions
  private let doorbellStride: UInt64
  private let admin: NVMeQueuePair
  private var shadow: (values: Int, indexes: Int)?
  private var interrupts: [ClientInterrupt] = []
  private var nextQueue: UInt16 = 1
  private var pairs: [NVMeQueuePair] = []
  private var ownPair: NVMeQueuePair?
  private var scratch: [NVMeCompletion] = []

  /// Connects to a device and gets its controller ready.
  ///
  /// - Parameters:
  ///   - path: a socket, or a folder that holds one called `cntrl`.
  ///   - options: how to take it.
  /// - Throws: ``NVMeDriverError``.
  public static func attach(
    path: String, options: NVMeDriverOptions = NVMeDriverOptions()
  ) throws(NVMeDriverError) -> NVMeController {
    var clientOptions = ClientOptions()
    clientOptions.timeout = options.timeout
    clientOptions.mapsRegions = options.doorbells != .trapped && options.doorbells != .shadow
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
  /// - Throws: ``NVMeDriverError``.
  public init(
    _ client: DeviceClient, options: NVMeDriverOptions = NVMeDriverOptions()
  ) throws(NVMeDriverError) {
    self.client = client
    self.options = options
    do throws(ClientError) {
      registers = try client.region(at: 0)
      let configuration = try client.region(at: 7)
      let classCode: UInt32 = try configuration.read(at: RegionOffset(8))
      guard classCode >> 8 == 0x01_0802 else {
        throw ClientError(.unsupported, .noSuchAddressOrDevice, "the device is no NVMe controller")
      }
      // Memory space and bus master; no pin interrupt.
      let command: UInt16 = try configuration.read(at: RegionOffset(4))
      try configuration.write(command | 0x406, at: RegionOffset(4))
      let value: UInt64 = try registers.read(
        at: RegionOffset(ControllerRegisterOffset.capabilities))
      capabilities = ControllerCapabilities(rawValue: value)
    } catch {
      throw NVMeDriverError(
        error.code == .unsupported ? .unsupported : .connection, "\(error)")
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
    pool = try NVMePool(
      client, byteCount: options.memoryByteCount, at: DMAAddress(0x1_0000_0000))
    admin = try NVMeQueuePair(
      identifier: 0, entryCount: min(max(options.adminEntryCount, 2), 4096), pool: pool,
      doorbells: registers, stride: doorbellStride, shadow: nil, interrupt: nil)
    try enable()
    identity = IdentifyController(try identify(1, namespace: 0))
    if options.doorbells == .shadow { try setShadowDoorbells() }
  }

  /// Ends the connection; the device keeps its state.
  public func close() { client.close() }

  // MARK: Registers

  /// Controller Status (CSTS).
  ///
  /// - Throws: ``NVMeDriverError`` when the connection is over.
  public func status() throws(NVMeDriverError) -> ControllerStatus {
    ControllerStatus(rawValue: try readRegister(ControllerRegisterOffset.status))
  }

  /// Reads a register of 4 bytes; throws as ``status()``.
  public func readRegister(_ offset: UInt64) throws(NVMeDriverError) -> UInt32 {
    do throws(ClientError) { return try registers.read(at: RegionOffset(offset)) } catch {
      throw NVMeDriverError(.connection, "\(error)")
    }
  }

  /// Writes a register of 4 bytes, or a doorbell; throws as ``status()``.
  public func writeRegister(_ value: UInt32, _ offset: UInt64) throws(NVMeDriverError) {
    do throws(ClientError) { try registers.write(value, at: RegionOffset(offset)) } catch {
      throw NVMeDriverError(.connection, "\(error)")
    }
  }

  private func writeAddress(_ value: DMAAddress, _ offset: UInt64) throws(NVMeDriverError) {
    do throws(ClientError) {
      try registers.write(value.rawValue, at: RegionOffset(offset))
    } catch {
      throw NVMeDriverError(.connection, "\(error)")
    }
  }

  // MARK: Enable, reset, shut down

  /// Disables the controller and enables it with the driver's admin queues.
  private func enable() throws(NVMeDriverError) {
    var configuration = ControllerConfiguration(
      rawValue: try readRegister(ControllerRegisterOffset.configuration))
    if configuration.isEnabled {
      configuration.isEnabled = false
      try writeRegister(configuration.rawValue, ControllerRegisterOffset.configuration)
    }
    try waitFor("the controller to be disabled") { !$0.isReady }
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
    try waitFor("the controller to get ready", failsWhenFatal: true) { $0.isReady }
  }

  private func waitFor(
    _ what: String, failsWhenFatal: Bool = false, _ isSo: (ControllerStatus) -> Bool
  ) throws(NVMeDriverError) {
    let deadline = MonotonicTime.now.advanced(by: options.timeout)
    while true {
      let status = try status()
      guard status.rawValue != .max else {
        throw NVMeDriverError(.connection, "the device is gone")
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
  /// - Throws: ``NVMeDriverError``.
  public func reset() throws(NVMeDriverError) {
    for pair in pairs { pair.release(to: pool) }
    pairs = []
    ownPair = nil
    nextQueue = 1
    shadow = nil
    var configuration = ControllerConfiguration(
      rawValue: try readRegister(ControllerRegisterOffset.configuration))
    configuration.isEnabled = false
    try writeRegister(configuration.rawValue, ControllerRegisterOffset.configuration)
    try waitFor("the controller to be disabled") { !$0.isReady }
    try admin.reset()
    try enable()
    if options.doorbells == .shadow { try setShadowDoorbells() }
  }

  /// Shuts the controller down: what was written is on its medium afterwards.
  ///
  /// - Throws: ``NVMeDriverError``.
  public func shutDown() throws(NVMeDriverError) {
    var configuration = ControllerConfiguration(
      rawValue: try readRegister(ControllerRegisterOffset.configuration))
    configuration.shutdownNotification = .normal
    try writeRegister(configuration.rawValue, ControllerRegisterOffset.configuration)
    try waitFor("the shutdown") { $0.shutdown == .complete }
  }

  // MARK: Admin commands

  /// Carries out an admin command and waits for its end.
  ///
  /// - Parameters:
  ///   - entry: the command; its identifier and, with `data`, its PRPs are set here.
  ///   - data: memory that it moves.
  /// - Returns: dword 0 of the completion.
  /// - Throws: ``NVMeDriverError``; a status other than success is one.
  @discardableResult
  public func execute(
    _ entry: SubmissionQueueEntry, data: NVMeBuffer? = nil
  ) throws(NVMeDriverError) -> UInt32 {
    let end = try run(entry, data, on: admin)
    guard end.status.isSuccess else {
      throw NVMeDriverError(
        .status(end.status), "admin command 0x\(String(entry.opcode, radix: 16))")
    }
    return end.result
  }

  /// Carries out an I/O command on a pair with nothing else in flight, and waits for its end.
  ///
  /// - Throws: ``NVMeDriverError``, but not for the status of the command.
  public func run(
    _ entry: SubmissionQueueEntry, data: NVMeBuffer? = nil, on pair: NVMeQueuePair
  ) throws(NVMeDriverError) -> NVMeCompletion { try run(entry, data, on: pair) }

  private func run(
    _ entry: SubmissionQueueEntry, _ data: NVMeBuffer?, on pair: NVMeQueuePair
  ) throws(NVMeDriverError) -> NVMeCompletion {
    if let data {
      try pair.submit(entry, data: data, tag: -1)
    } else {
      try pair.submit(entry, tag: -1)
    }
    try pair.ring()
    scratch.removeAll(keepingCapacity: true)
    let deadline = MonotonicTime.now.advanced(by: options.timeout)
    var rounds = 0
    while try pair.reap(into: &scratch) == 0 {
      rounds += 1
      guard rounds % 256 == 0 else { continue }
      MemoryBarrier.yield()
      if rounds % 65_536 == 0, try status().isFatal {
        throw NVMeDriverError(.fatal, "a command on queue \(pair.identifier)")
      }
      guard MonotonicTime.now < deadline else {
        throw NVMeDriverError(.timedOut, "a command on queue \(pair.identifier)")
      }
    }
    return scratch[0]
  }

  /// The data of an Identify command.
  ///
  /// - Parameters:
  ///   - structure: Controller or Namespace Structure (CNS).
  ///   - namespace: the namespace, where the structure is one's.
  /// - Throws: as ``execute(_:data:)``.
  public func identify(
    _ structure: UInt8, namespace: UInt32
  ) throws(NVMeDriverError) -> [UInt8] {
    let buffer = try pool.allocate(4096)
    defer { pool.release(buffer) }
    var entry = Self.command(.identify, namespace)
    entry.dword10 = UInt32(structure)
    try execute(entry, data: buffer)
    return try buffer.read()
  }

  private static func command(_ opcode: AdminOpcode, _ namespace: UInt32 = 0)
    -> SubmissionQueueEntry
  {
    var entry = SubmissionQueueEntry()
    entry.opcode = opcode.rawValue
    entry.namespaceIdentifier = namespace
    return entry
  }

  /// The identifiers of the active namespaces, ascending.
  ///
  /// - Throws: as ``execute(_:data:)``.
  public func namespaces() throws(NVMeDriverError) -> [UInt32] {
    let page = try identify(2, namespace: 0)
    var found: [UInt32] = []
    for start in stride(from: 0, to: 4096, by: 4) {
      var identifier: UInt32 = 0
      for byte in 0..<4 { identifier |= UInt32(page[start + byte]) << UInt32(byte * 8) }
      if identifier != 0 { found.append(identifier) }
    }
    return found
  }

  /// A namespace, as the controller describes it now.
  ///
  /// - Throws: as ``execute(_:data:)``; `unsupported` for blocks of a size that cannot be.
  public func namespace(_ identifier: UInt32) throws(NVMeDriverError) -> NVMeNamespaceInfo {
    let data = IdentifyNamespace(try identify(0, namespace: identifier))
    guard data.blockByteCount >= 512 else {
      throw NVMeDriverError(.unsupported, "namespace \(identifier) has no usable format")
    }
    return NVMeNamespaceInfo(identifier: identifier, data: data)
  }

  /// A log page, from its beginning.
  ///
  /// - Throws: as ``execute(_:data:)``.
  public func log(
    _ page: LogPageIdentifier, byteCount: Int
  ) throws(NVMeDriverError) -> [UInt8] {
    let buffer = try pool.allocate(byteCount)
    defer { pool.release(buffer) }
    let dwords = UInt32(byteCount / 4 - 1)
    var entry = Self.command(.getLogPage, 0xffff_ffff)
    entry.dword10 = UInt32(page.rawValue) | (dwords & 0xffff) << 16
    entry.dword11 = dwords >> 16
    try execute(entry, data: buffer)
    return try buffer.read()
  }

  /// Sets a feature to the value of dword 11; returns dword 0 of the completion.
  ///
  /// - Throws: as ``execute(_:data:)``.
  @discardableResult
  public func setFeature(
    _ feature: FeatureIdentifier, _ value: UInt32
  ) throws(NVMeDriverError) -> UInt32 {
    var entry = Self.command(.setFeatures)
    entry.dword10 = UInt32(feature.rawValue)
    entry.dword11 = value
    return try execute(entry)
  }

  /// The current value of a feature that fits in 32 bits.
  ///
  /// - Throws: as ``execute(_:data:)``.
  public func feature(
    _ feature: FeatureIdentifier, _ selector: UInt32 = 0
  ) throws(NVMeDriverError) -> UInt32 {
    var entry = Self.command(.getFeatures)
    entry.dword10 = UInt32(feature.rawValue)
    entry.dword11 = selector
    return try execute(entry)
  }

  /// Formats a namespace with one of its LBA formats; its data is gone.
  ///
  /// - Throws: as ``execute(_:data:)``.
  public func format(_ namespace: UInt32, format: Int) throws(NVMeDriverError) {
    var entry = Self.command(.formatNVM, namespace)
    entry.dword10 = UInt32(format & 0xf)
    try execute(entry)
  }

  private func setShadowDoorbells() throws(NVMeDriverError) {
    guard identity.adminCommandSupport & 1 << 8 != 0 else {
      throw NVMeDriverError(.unsupported, "the controller has no Doorbell Buffer Config")
    }
    let values = try pool.allocate(4096)
    let indexes = try pool.allocate(4096)
    try values.write([UInt8](repeating: 0, count: 4096))
    try indexes.write([UInt8](repeating: 0, count: 4096))
    var entry = Self.command(.doorbellBufferConfig)
    entry.prp1 = values.address.rawValue
    entry.prp2 = indexes.address.rawValue
    try execute(entry)
    shadow = (values.offset, indexes.offset)
  }

  // MARK: Queue pairs

  /// Memory for data, which the controller reaches.
  ///
  /// - Throws: `outOfMemory`.
  public func makeBuffer(byteCount: Int) throws(NVMeDriverError) -> NVMeBuffer {
    try pool.allocate(byteCount)
  }

  /// Gives memory back that no command uses any more.
  public func release(_ buffer: NVMeBuffer) { pool.release(buffer) }

  /// Makes an I/O submission queue with a completion queue of its own.
  ///
  /// - Parameters:
  ///   - entryCount: the size of both, 2 to what the controller has.
  ///   - usesInterrupt: whether ``NVMeQueuePair/wait(timeout:)`` sleeps until the device interrupts.
  /// - Throws: ``NVMeDriverError``.
  public func makeQueuePair(
    entryCount: Int, usesInterrupt: Bool = false
  ) throws(NVMeDriverError) -> NVMeQueuePair {
    guard entryCount >= 2, entryCount <= capabilities.maximumQueueEntryCount else {
      throw NVMeDriverError(
        .invalidArgument,
        "a queue has 2 to \(capabilities.maximumQueueEntryCount) entries, not \(entryCount)")
    }
    let identifier = nextQueue
    let interrupt = usesInterrupt ? try self.interrupt(Int(identifier)) : nil
    let pair = try NVMeQueuePair(
      identifier: identifier, entryCount: entryCount, pool: pool, doorbells: registers,
      stride: doorbellStride, shadow: shadow, interrupt: interrupt)
    do throws(NVMeDriverError) {
      let size = UInt32(identifier) | UInt32(entryCount - 1) << 16
      var completion = Self.command(.createCompletionQueue)
      completion.prp1 = pair.completion.address.rawValue
      completion.dword10 = size
      completion.dword11 = 1 | (usesInterrupt ? 2 | UInt32(identifier) << 16 : 0)
      try execute(completion)
      var submission = Self.command(.createSubmissionQueue)
      submission.prp1 = pair.submission.address.rawValue
      submission.dword10 = size
      submission.dword11 = 1 | UInt32(identifier) << 16
      try execute(submission)
    } catch {
      pair.release(to: pool)
      throw error
    }
    nextQueue += 1
    pairs.append(pair)
    return pair
  }

  /// Deletes a queue pair that was made last, or any other; its identifier is not used again.
  ///
  /// - Throws: as ``execute(_:data:)``.
  public func delete(_ pair: NVMeQueuePair) throws(NVMeDriverError) {
    var entry = Self.command(.deleteSubmissionQueue)
    entry.dword10 = UInt32(pair.identifier)
    try execute(entry)
    entry = Self.command(.deleteCompletionQueue)
    entry.dword10 = UInt32(pair.identifier)
    try execute(entry)
    pairs.removeAll { $0 === pair }
    pair.release(to: pool)
  }

  private func interrupt(_ vector: Int) throws(NVMeDriverError) -> ClientInterrupt {
    do throws(ClientError) {
      if interrupts.isEmpty {
        let info = try client.interruptInfo(index: 2)
        interrupts = try client.enableInterrupts(index: 2, count: Int(info.count))
        try enableMessageInterrupts()
      }
    } catch {
      throw NVMeDriverError(.connection, "no interrupts: \(error)")
    }
    guard vector < interrupts.count else {
      throw NVMeDriverError(.unsupported, "the device has no interrupt for queue \(vector)")
    }
    return interrupts[vector]
  }

  /// Sets MSI-X Enable in the capability, wherever it is.
  private func enableMessageInterrupts() throws(ClientError) {
    let configuration = try client.region(at: 7)
    var place: UInt8 = try configuration.read(at: RegionOffset(0x34))
    var seen = 0
    while place != 0, seen < 48 {
      let identifier: UInt8 = try configuration.read(at: RegionOffset(UInt64(place)))
      if identifier == 0x11 {
        let control: UInt16 = try configuration.read(at: RegionOffset(UInt64(place) + 2))
        return try configuration.write(control | 0x8000, at: RegionOffset(UInt64(place) + 2))
      }
      place = try configuration.read(at: RegionOffset(UInt64(place) + 1))
      seen += 1
    }
  }

  // MARK: Reading and writing, one command after the other

  /// The pair for calls that wait.
  private func pair() throws(NVMeDriverError) -> NVMeQueuePair {
    if let ownPair { return ownPair }
    let made = try makeQueuePair(entryCount: min(64, capabilities.maximumQueueEntryCount))
    ownPair = made
    return made
  }

  /// Reads blocks.
  ///
  /// - Throws: ``NVMeDriverError``; a status other than success is one.
  public func read(
    _ namespace: NVMeNamespaceInfo, block: UInt64, count: Int
  ) throws(NVMeDriverError) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count * namespace.blockByteCount)
    try forEachPiece(namespace, block, count, .read) { (_, buffer) throws(NVMeDriverError) in
    } after: { (_, buffer) throws(NVMeDriverError) in
      bytes += try buffer.read()
    }
    return bytes
  }

  /// Writes blocks; `bytes` are a whole number of them.
  ///
  /// - Throws: ``NVMeDriverError``; a status other than success is one.
  public func write(
    _ namespace: NVMeNamespaceInfo, block: UInt64, _ bytes: [UInt8]
  ) throws(NVMeDriverError) {
    let size = namespace.blockByteCount
    guard bytes.count % size == 0 else {
      throw NVMeDriverError(
        .invalidArgument, "\(bytes.count) bytes are no whole number of blocks of \(size)")
    }
    try forEachPiece(namespace, block, bytes.count / size, .write) {
      (offset, buffer) throws(NVMeDriverError) in
      try buffer.write(Array(bytes[offset..<(offset + buffer.byteCount)]))
    } after: { (_, _) throws(NVMeDriverError) in
    }
  }

  private func forEachPiece(
    _ namespace: NVMeNamespaceInfo, _ block: UInt64, _ count: Int, _ opcode: IOOpcode,
    _ before: (Int, NVMeBuffer) throws(NVMeDriverError) -> Void,
    after: (Int, NVMeBuffer) throws(NVMeDriverError) -> Void
  ) throws(NVMeDriverError) {
    let size = namespace.blockByteCount
    let shift = identity.maximumTransferShift
    let limit = min(shift == 0 || shift > 5 ? 131_072 : 4096 << Int(shift), 131_072)
    let buffer = try pool.allocate(limit)
    defer { pool.release(buffer) }
    let pair = try pair()
    var done = 0
    while done < count {
      let step = min(count - done, limit / size)
      let part = try buffer.part(at: 0, byteCount: step * size)
      try before(done * size, part)
      var entry = namespace.command(opcode)
      entry.startingBlock = block + UInt64(done)
      entry.blockCount = step
      try succeed(try run(entry, part, on: pair), "block \(entry.startingBlock)")
      try after(done * size, part)
      done += step
    }
  }

  private func succeed(
    _ completion: NVMeCompletion, _ what: String
  ) throws(NVMeDriverError) {
    guard completion.status.isSuccess else {
      throw NVMeDriverError(.status(completion.status), what)
    }
  }

  /// Puts what was written on the medium.
  ///
  /// - Throws: as ``read(_:block:count:)``.
  public func flush(_ namespace: NVMeNamespaceInfo) throws(NVMeDriverError) {
    try succeed(try run(namespace.command(.flush), nil, on: try pair()), "flush")
  }

  /// Gives blocks back: they read zeros, where the controller says so.
  ///
  /// - Throws: as ``read(_:block:count:)``.
  public func deallocate(
    _ namespace: NVMeNamespaceInfo, block: UInt64, count: UInt32
  ) throws(NVMeDriverError) {
    let buffer = try pool.allocate(4096)
    defer { pool.release(buffer) }
    var range = [UInt8](repeating: 0, count: 16)
    for index in 0..<4 { range[4 + index] = UInt8(truncatingIfNeeded: count >> UInt32(index * 8)) }
    for index in 0..<8 { range[8 + index] = UInt8(truncatingIfNeeded: block >> UInt64(index * 8)) }
    try buffer.write(range)
    var entry = namespace.command(.datasetManagement)
    entry.dword11 = 4
    try succeed(
      try run(entry, try buffer.part(at: 0, byteCount: 16), on: try pair()), "deallocate")
  }
}
