import BlockStorage
import DeviceModel
import NVMe

/// Carries out the I/O commands of one group: checks them, finds their data, asks the storage.
///
/// Reads and writes of the usual shape go straight through ``transfer(_:_:isWrite:)``; commands of
/// several steps are ``CommandSteps``.
///
/// That way counts no references: an atomic operation would wait for the completion entries that were
/// stored before it, whose cache lines the driver's processor has.
///
/// Threads: confined to its loop.
///
/// Source: NVMe 1.4, section 6.
@safe
final class CommandExecutor: BlockRequestOwner {
  let engine: DMAEngine
  let namespaces: NamespaceTable
  let limits: TransferLimits
  let pointer: DataPointer
  /// The controller's memory page size (CC.MPS) in bytes.
  var pageByteCount = 4096
  /// Whether the driver has turned the write cache off: each write is durable.
  var writesThrough = false
  /// Whether requests are pending, so that polling may find some done.
  private(set) var hasPending = false
  /// How much memory of ours the commands in flight take for their data, in bytes.
  private var bufferByteCount = 0
  private let pool: RequestPool
  /// One for each namespace, in their order.
  private var lanes: ContiguousArray<NamespaceLane> = []
  /// The same, for looking one up without counting references.
  private let lanePointers: UnsafeMutablePointer<Unmanaged<NamespaceLane>>
  private var laneCount = 0
  private var pendingCount = 0
  private var needsKick = false
  private var isClosing = false
  private var keptUntilDone: CommandExecutor?

  init(
    engine: DMAEngine, namespaces: NamespaceTable, limits: TransferLimits, pool: RequestPool
  ) {
    self.engine = engine
    self.namespaces = namespaces
    self.limits = limits
    self.pool = pool
    pointer = DataPointer(engine, limits)
    // Safety: owned storage of a trivial type; `laneCount` entries are initialised.
    unsafe lanePointers = .allocate(capacity: namespaces.all.count)
  }

  deinit {
    // Safety: this object's own storage.
    unsafe lanePointers.deallocate()
  }

  /// Opens a way to each storage; on the loop. One that cannot be opened fails its commands.
  func open(on loop: EventLoop) {
    for namespace in namespaces.all {
      let channel: any BlockChannel
      do throws(Errno) {
        channel = try namespace.storage.makeChannel(on: loop)
      } catch {
        channel = BrokenChannel(error)
      }
      let lane = NamespaceLane(namespace, channel)
      lanes.append(lane)
      // Safety: there is room for each namespace, and `lanes` keeps what this points to.
      unsafe (lanePointers + laneCount).initialize(to: .passUnretained(lane))
      laneCount += 1
    }
  }

  func close() {
    publishTallies()
    isClosing = true
    // Storages tell their requests' owner of the end, which must be there then.
    if pendingCount > 0 { keptUntilDone = self }
    for lane in lanes { lane.channel.close() }
  }

  /// Looks for ended requests; whether there were any.
  func poll() -> Bool {
    var found = false
    for lane in lanes where lane.channel.poll() { found = true }
    return found
  }

  /// Hands what was submitted to the storages: the end of a batch.
  @inline(__always)
  func kick() {
    guard needsKick else { return }
    needsKick = false
    for lane in lanes { lane.channel.kick() }
  }

  /// Adds what was counted here to the namespaces' counters.
  func publishTallies() { for lane in lanes { lane.publishTally() } }

  // MARK: Commands

  /// Starts a command of an I/O queue.
  ///
  /// - Returns: whether it has succeeded already; the caller tells the driver then. Otherwise the
  ///   command has been completed, or will be.
  @inline(__always)
  func execute(_ request: NVMeRequest) -> Bool {
    let header = request.entry.words[0]
    // Neither fused nor anything reserved.
    guard header & 0x3f00 == 0 else {
      refuse(request, .invalidField, at: 1)
      return false
    }
    let index = Int(header >> 32) - 1
    guard index >= 0, index < laneCount else {
      executeUnaddressed(request)
      return false
    }
    // Safety: an initialised entry, and `lanes` keeps the lane.
    return unsafe lanePointers[index]._withUnsafeGuaranteedRef { lane in
      execute(request, UInt8(truncatingIfNeeded: header), lane)
    }
  }

  @inline(__always)
  private func execute(_ request: NVMeRequest, _ opcode: UInt8, _ lane: NamespaceLane) -> Bool {
    switch opcode {
    case IOOpcode.read.rawValue: return transfer(request, lane, isWrite: false)
    case IOOpcode.write.rawValue: return transfer(request, lane, isWrite: true)
    default:
      executeOther(request, lane.namespace)
      return false
    }
  }

  /// Read and Write; whether it has succeeded already.
  @inline(__always)
  private func transfer(
    _ request: NVMeRequest, _ lane: NamespaceLane, isWrite: Bool
  ) -> Bool {
    let namespace = lane.namespace
    let first = request.entry.words[5]
    let count = request.entry.blockCount
    let shift = namespace.blockShift
    let byteCount = count << shift
    let total = namespace.blockCount
    guard first < total, UInt64(count) <= total - first else {
      refuse(request, .blockOutOfRange, at: 40)
      return false
    }
    guard byteCount <= limits.transferByteCount else {
      refuse(request, .invalidField, at: 48)
      return false
    }
    if let status = obstacle(request, namespace, first, count, isWrite: isWrite) {
      request.complete(status)
      return false
    }
    let block = request.block
    if let status = pointer.resolve(
      request.entry, byteCount, isWrite ? .read : .write, pageByteCount: pageByteCount,
      to: block.data)
    {
      refuse(request, status, at: 24)
      return false
    }
    block.set(
      isWrite ? .write : .read, byteOffset: first << UInt64(shift), byteCount: byteCount,
      isDurable: isWrite && (request.entry.forcesUnitAccess || writesThrough))
    if isWrite { lane.noteWrite(byteCount) } else { lane.noteRead(byteCount) }
    switch lane.channel.submit(block) {
    case .done:
      if isWrite, namespace.hasUncorrectable { noteWritten(request) }
      return true
    case .failed(let error):
      request.complete(status(for: error, block, namespace))
      return false
    case .pending:
      notePending(block)
      return false
    }
  }

  /// What keeps a command from its blocks; as a rule nothing.
  @inline(__always)
  func obstacle(
    _ request: NVMeRequest, _ namespace: NVMeNamespace, _ first: UInt64, _ count: Int,
    isWrite: Bool
  ) -> NVMeStatus? {
    // Protection information (PRINFO) has no use without metadata.
    guard request.entry.words[6] & 0x3c00_0000 == 0 else { return .invalidField }
    if isWrite {
      return namespace.isReadOnly ? .namespaceWriteProtected : formatObstacle(namespace)
    }
    if namespace.hasUncorrectable,
      let block = namespace.firstUncorrectable(in: first..<(first + UInt64(count)))
    {
      request.errorBlock = block
      namespace.counters.noteMediaError()
      return .unrecoveredReadError
    }
    return formatObstacle(namespace)
  }

  @inline(__always)
  private func formatObstacle(_ namespace: NVMeNamespace) -> NVMeStatus? {
    namespace.isFormatting ? .formatInProgress : nil
  }

  @inline(__always)
  private func finish(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    if namespace.hasUncorrectable, request.block.operation != .read { noteWritten(request) }
    request.complete(.success)
  }

  @inline(never)
  private func noteWritten(_ request: NVMeRequest) {
    guard let namespace = namespaces[request.entry.namespaceIdentifier] else { return }
    let block = request.block
    guard block.operation != .flush else { return }
    let first = block.byteOffset >> UInt64(namespace.blockShift)
    namespace.markWritten(
      first..<(first + UInt64(block.byteCount >> namespace.blockShift)))
  }

  @inline(never)
  func refuse(_ request: NVMeRequest, _ status: NVMeStatus, at byte: UInt16) {
    request.parameterLocation = byte
    request.complete(status)
  }

  /// A command whose namespace does not exist, or that is for all of them.
  @inline(never)
  private func executeUnaddressed(_ request: NVMeRequest) {
    let entry = request.entry
    guard IOOpcode(rawValue: entry.opcode).isSupported else {
      return refuse(request, .invalidOpcode, at: 0)
    }
    if entry.namespaceIdentifier == NamespaceTable.broadcast,
      entry.opcode == IOOpcode.flush.rawValue
    {
      return start(FlushSteps(self, request, namespaces.all), request)
    }
    refuse(request, .invalidNamespaceOrFormat, at: 4)
  }

  @inline(never)
  private func executeOther(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    let opcode = IOOpcode(rawValue: request.entry.opcode)
    if namespace.isFormatting, opcode.isSupported { return request.complete(.formatInProgress) }
    switch opcode {
    case .flush: start(FlushSteps(self, request, [namespace]), request)
    case .writeZeroes: writeZeroes(request, namespace)
    case .writeUncorrectable: writeUncorrectable(request, namespace)
    case .compare: compare(request, namespace)
    case .verify: verify(request, namespace)
    case .datasetManagement: manageDataset(request, namespace)
    case .copy: copy(request, namespace)
    default: refuse(request, .invalidOpcode, at: 0)
    }
  }

  // MARK: The storage

  /// How much memory of ours commands may take: with so much in use no further command is fetched, so
  /// that at most one of each queue goes beyond it.
  static let bufferLimit = 32 << 20

  /// Whether further commands may be fetched, which may take memory of ours.
  var hasBuffersLeft: Bool { bufferByteCount < Self.bufferLimit }

  /// A command of several steps takes memory of ours, or gives it back.
  func noteBuffer(_ byteCount: Int) { bufferByteCount += byteCount }

  @inline(__always)
  private func notePending(_ block: BlockRequest) {
    bufferByteCount &+= block.bufferByteCount
    pendingCount &+= 1
    hasPending = true
    needsKick = true
  }

  /// Hands a request of a command of several steps to its storage.
  func submit(_ block: BlockRequest, _ namespace: NVMeNamespace) -> BlockOutcome {
    let outcome = lanes[Int(namespace.identifier) - 1].channel.submit(block)
    if outcome == .pending { notePending(block) }
    return outcome
  }

  /// Hands over a request that belongs to no command; its owner is told.
  func submitAside(_ block: BlockRequest, _ namespace: NVMeNamespace) -> BlockOutcome {
    let channel = lanes[Int(namespace.identifier) - 1].channel
    let outcome = channel.submit(block)
    channel.kick()
    return outcome
  }

  /// Hands the command's own request to its storage, and ends the command with it.
  func submitOnly(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    switch submit(request.block, namespace) {
    case .done: finish(request, namespace)
    case .failed(let error):
      request.complete(status(for: error, request.block, namespace))
    case .pending: break
    }
  }

  func completed(_ block: BlockRequest, _ error: Errno?) {
    bufferByteCount &-= block.bufferByteCount
    block.bufferByteCount = 0
    pendingCount &-= 1
    hasPending = pendingCount != 0
    guard !isClosing else {
      if pendingCount == 0 { keptUntilDone = nil }
      return
    }
    let request = pool.all[block.tag]
    if let steps = request.steps {
      steps.advance(error)
      // A step that came from the storage's own wake-up has no batch whose end would hand it on.
      kick()
      return
    }
    guard let namespace = namespaces[request.entry.namespaceIdentifier] else {
      return request.complete(.internalError)
    }
    if let error { return request.complete(status(for: error, block, namespace)) }
    finish(request, namespace)
  }

  /// Begins a command of several steps.
  func start(_ steps: any CommandSteps, _ request: NVMeRequest) {
    request.steps = steps
    steps.advance(nil)
  }

  /// What a driver is told of an error of the storage.
  func status(
    for error: Errno, _ block: BlockRequest, _ namespace: NVMeNamespace
  ) -> NVMeStatus {
    switch error {
    // The data's memory was taken away, or the bus lets nobody at it.
    case .badAddress, .permissionDenied, .notPermitted: return .dataTransferError
    case .noSpace, .diskQuotaExceeded, .fileTooLarge: return .capacityExceeded
    case .readOnlyFileSystem: return .namespaceWriteProtected
    case .invalidArgument, .noMemory: return .internalError
    default:
      namespace.counters.noteMediaError()
      return block.operation == .read ? .unrecoveredReadError : .writeFault
    }
  }

  /// Counts what a command of several steps moves.
  func tally(_ namespace: NVMeNamespace, readBytes: Int = 0, writtenBytes: Int = 0) {
    let lane = lanes[Int(namespace.identifier) - 1]
    if readBytes > 0 { lane.noteRead(readBytes) }
    if writtenBytes > 0 { lane.noteWrite(writtenBytes) }
  }
}

extension IOOpcode {
  /// Whether the controller carries out such commands.
  var isSupported: Bool {
    switch self {
    case .flush, .write, .read, .writeUncorrectable, .compare, .writeZeroes, .datasetManagement,
      .verify, .copy:
      true
    default: false
    }
  }
}
