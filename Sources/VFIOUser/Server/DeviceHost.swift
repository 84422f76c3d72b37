public import Logging

/// One device and all that a client can reach of it: regions, memory, interrupts, fences.
///
/// It outlives its clients: sessions come and go, the device's state stays. Use it under a loop of
/// your own; `DeviceServer` adds a listening socket.
///
/// Threads: confined to its loop.
public final class DeviceHost {
  /// The device.
  public let device: any ServedDevice
  /// The loop that everything here runs on.
  public let loop: EventLoop
  /// What the device works with.
  public let services: DeviceServices
  /// How the device is served.
  public let options: DeviceOptions
  /// Called when the device is at rest after its client went away, and the next may come.
  public var onVacant: (() -> Void)?

  let layout: DeviceLayout
  let regions: [HostedRegion?]
  let table: DMATable
  let transferLimit: UInt32
  private(set) var session: Session?
  /// How the device wishes its regions to be reached now, by region.
  private(set) var paths: [[RegionPath]]
  /// Those that the device began with.
  private var startPaths: [[RegionPath]] = []
  private let logger: Logger
  private let fences: FenceQueue
  private var mappedRanges = 0

  /// Takes a device under its care and starts it.
  ///
  /// Call it on the loop's thread, or before the loop runs.
  public init(
    device: any ServedDevice, loop: EventLoop, options: DeviceOptions = DeviceOptions(),
    logger: Logger = Logger(label: "vfio-user")
  ) {
    self.device = device
    self.loop = loop
    self.options = options
    self.logger = logger
    layout = device.layout
    transferLimit = options.transferLimit
    paths = layout.regions.map(\.paths)
    table = DMATable(capacity: options.maximumDMAMapCount)
    regions = layout.regions.enumerated().map { index, layout in
      device.region(at: index).map { HostedRegion($0, layout) }
    }
    let ledger = LeaseLedger()
    services = DeviceServices(
      loop: loop, dma: DMAEngine(loop: loop, table: table, ledger: ledger),
      interrupts: layout.interrupts.enumerated().map {
        InterruptSet(index: $0.offset, layout: $0.element, loop: loop)
      }, logger: logger)
    services.dma.remoteAccess.timeout = options.clientTimeout
    fences = FenceQueue(device: device, loop: loop, ledger: ledger)
    services.onFence = { [weak self] reason, action in
      self?.fence(reason, then: action)
    }
    services.onPathsChange = { [weak self] paths, region in self?.setPaths(paths, of: region) }
    device.start(services)
    startPaths = paths
  }

  /// Whether a client is connected, or has just left and the device is being brought to rest.
  public var isOccupied: Bool { session != nil }

  /// Serves a client on a connected socket.
  ///
  /// - Throws: `EBUSY` while another client is served.
  public func makeSession(adopting socket: consuming OwnedDescriptor) throws(Errno) -> Session {
    guard session == nil else { throw .resourceBusy }
    let session = try Session(host: self, socket: socket, logger: logger)
    self.session = session
    return session
  }

  // MARK: Regions

  /// The region that an access may go to.
  ///
  /// - Throws: `EINVAL` for no such region, without the right, or past the end.
  @inline(__always)
  func region(
    for access: RegionAccess, _ right: RegionFlags
  ) throws(Refusal) -> HostedRegion {
    guard Int(access.region) < regions.count, let region = regions[Int(access.region)] else {
      throw Refusal(.invalidArgument, "an access to no region")
    }
    guard region.rights.contains(right) else {
      throw Refusal(.invalidArgument, "an access that the region does not allow")
    }
    let size = region.byteCount
    guard UInt64(access.count) <= size, access.offset.rawValue <= size - UInt64(access.count) else {
      throw Refusal(.invalidArgument, "an access past the end of the region")
    }
    return region
  }

  /// Whether a client may have a path without hearing of its end.
  ///
  /// A signal without a value means nothing any more once the device has taken such a path back. One that
  /// it had from the start stays.
  func staysGood(_ path: RegionPath, of region: Int) -> Bool {
    path.kind != .ioeventfd(matching: nil) || startPaths[region].contains(path)
  }

  /// Changes how a region wishes to be reached, and tells a client that wants to know.
  private func setPaths(_ paths: [RegionPath], of region: Int) {
    guard self.paths.indices.contains(region), self.paths[region] != paths else { return }
    self.paths[region] = paths
    session?.sendRegionChanged(region)
  }

  // MARK: Memory

  func map(_ mapping: DMAMapping) throws(Errno) {
    services.dma.invalidate()
    try table.insert(mapping)
    services.grantsWereAdded()
    device.memoryMapped(mapping.range)
  }

  /// Takes a grant back; `completion` runs when nothing refers to the memory any more.
  ///
  /// The device goes on as soon as the grant is gone; the client's commands wait for the completion.
  func unmap(_ range: DMARange, completion: @escaping () -> Void) throws(Errno) {
    try table.checkRemoval(of: range)
    let held = session
    held?.addHold()
    let finish = {
      completion()
      held?.releaseHold()
    }
    fence(.memoryUnmap(range)) { [self] in
      services.dma.invalidate()
      // A fence that ran before this one may have removed it.
      guard let mapping = try? table.remove(range) else { return finish() }
      retire([mapping]) { [self] in
        device.memoryUnmapped(range)
        finish()
      }
    }
  }

  /// Waits until no loop and no I/O refers to the mappings, and lets go of them.
  private func retire(_ mappings: [DMAMapping], completion: @escaping () -> Void) {
    let dying = DyingMappings(mappings)
    services.forgetGrants { [self] in
      fences.drain(dying.mappings.map(\.leases)) {
        // The last reference: the memory is unmapped here.
        dying.mappings = []
        completion()
      }
    }
  }

  // MARK: Fences

  /// Brings the device to rest, runs `action`, and lets commands go on.
  func fence(_ reason: QuiesceReason, then action: @escaping () -> Void) {
    let held = session
    held?.addHold()
    held?.ports.pause()
    fences.run(
      reason,
      prepare: { ready in
        if let held { held.ports.whenSettled(ready) } else { ready() }
      },
      whenQuiet: { [weak self] in self?.voidWork(for: reason) },
      action: action,
      after: {
        held?.ports.resume()
        held?.releaseHold()
      })
  }

  /// What was in progress must not come back after a reset, a disconnect or a stop.
  private func voidWork(for reason: QuiesceReason) {
    switch reason {
    case .reset:
      session?.voidDeferredAccesses(answering: .canceled, isReset: true)
      session?.ports.voidDeferred()
      session?.failOutstandingCommands(.cancelled)
    case .disconnect, .stop:
      session?.voidDeferredAccesses(answering: .canceled)
      session?.failOutstandingCommands(.cancelled)
    case .memoryUnmap, .busMasterDisabled: break
    }
  }

  // MARK: Sessions

  func sessionNegotiated(_ session: Session) {
    services.dma.channel = session
    device.clientConnected()
  }

  func sessionEnded(_ session: Session) {
    guard self.session === session else { return }
    let wasNegotiated = session.isNegotiated
    services.dma.channel = nil
    fences.run(
      .disconnect, prepare: { session.ports.whenSettled($0) }, whenQuiet: {},
      action: { [self] in
        for set in services.interrupts { set.releaseAll() }
        services.dma.invalidate()
        let mappings = table.removeAll()
        retire(mappings) { [self] in
          if wasNegotiated {
            device.clientDisconnected()
            if options.onDisconnect == .reset { device.reset(.connectionLost) }
          }
          self.session = nil
          onVacant?()
        }
      }, after: {})
  }

  /// Ends the client's session and brings the device to rest; `completion` runs after that.
  public func stop(completion: @escaping () -> Void) {
    session?.close()
    fences.run(.stop, prepare: { $0() }, whenQuiet: {}, action: completion, after: {})
  }
}

/// Mappings on their way out; emptying it drops the last references.
private final class DyingMappings {
  var mappings: [DMAMapping]
  init(_ mappings: [DMAMapping]) { self.mappings = mappings }
}
