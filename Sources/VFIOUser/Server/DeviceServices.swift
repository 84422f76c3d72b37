public import Logging

/// What a served device works with: memory, interrupts, its loop and its fences.
///
/// Threads: confined to the device's loop.
public final class DeviceServices {
  /// The loop that the device's handlers run on.
  public let loop: EventLoop
  /// The client's memory.
  public let dma: DMAEngine
  /// The interrupt types, by index; as many as the layout declares.
  public let interrupts: [InterruptSet]
  /// Where the device logs. Not for the data path.
  public let logger: Logger

  /// Set by the host, which runs the fences.
  var onFence: ((QuiesceReason, @escaping () -> Void) -> Void)?
  /// Set by the host, which answers clients.
  var onPathsChange: (([RegionPath], Int) -> Void)?
  /// The ways to the client's memory on other loops.
  private var remoteEngines: [RemoteEngine] = []

  init(
    loop: EventLoop, dma: DMAEngine, interrupts: [InterruptSet], logger: Logger
  ) {
    self.loop = loop
    self.dma = dma
    self.interrupts = interrupts
    self.logger = logger
  }

  /// Services without a server around them: for a bus's own tests, and for devices used in-process.
  public convenience init(layout: DeviceLayout, loop: EventLoop, logger: Logger) {
    self.init(
      loop: loop, dma: DMAEngine(loop: loop, table: nil),
      interrupts: layout.interrupts.enumerated().map {
        InterruptSet(index: $0.offset, layout: $0.element, loop: loop)
      }, logger: logger)
  }

  /// A way to the client's memory for handlers that run on another loop.
  ///
  /// Memory that the client serves by messages is reached through the device's loop. Call it on the device's loop; the result belongs to `other`.
  public func makeDMAEngine(on other: EventLoop) -> DMAEngine {
    let engine = DMAEngine(home: dma, loop: other)
    remoteEngines.append(RemoteEngine(engine))
    return engine
  }

  /// Ends what other loops wait for of the client with `cancelled`, now and from now on.
  ///
  /// For a bus that is about to join their threads: the device's loop answers nobody meanwhile.
  public func endRemoteAccess() { dma.remoteAccess.close() }

  /// Brings the device to rest, runs `action`, and lets it go on.
  ///
  /// The device's `quiesce` is called and may answer later; DMA in flight is waited for; deferred
  /// replies are voided where the reason is a reset. Commands of the client wait until then. Returns
  /// at once: `action` runs before this returns when nothing has to be waited for.
  public func fence(_ reason: QuiesceReason, then action: @escaping () -> Void) {
    if let onFence { onFence(reason, action) } else { action() }
  }

  /// Changes how a region wishes to be reached; see ``RegionLayout/paths``.
  ///
  /// A client that agreed on `region_changed` is told and asks again; others see it with their next
  /// connection. What a client has got stays good until it lets go of it.
  public func setPaths(_ paths: [RegionPath], ofRegion index: Int) {
    onPathsChange?(paths, index)
  }

  // MARK: Other loops

  /// Runs `action` on the device's loop once each of `loops` has done what was posted to it before.
  ///
  /// A loop that has ended counts as done.
  public func settle(_ loops: [EventLoop], then action: @escaping () -> Void) {
    guard !loops.isEmpty else { return action() }
    let pending = LoopConfined(PendingLoops(loops.count, action))
    let home = loop
    for other in loops {
      let done = QuiesceCompletion { home.post { pending.value.oneDone() } }
      other.post { done.done() }
    }
  }

  /// Tells the other loops that there are new grants, which they look up when they need them.
  func grantsWereAdded() {
    for engine in remoteEngines { engine.tell() }
  }

  /// Has the other loops let go of what they know of the grants; `completion` runs on the device's loop
  /// when all have, and none refers to grants that were taken out of the table before.
  func forgetGrants(then completion: @escaping () -> Void) {
    for engine in remoteEngines { engine.invalidate() }
    settle(remoteEngines.map(\.loop), then: completion)
  }
}

/// Counts the loops that have not done yet what was posted to them.
private final class PendingLoops {
  private var left: Int
  private let completion: () -> Void

  init(_ count: Int, _ completion: @escaping () -> Void) {
    left = count
    self.completion = completion
  }

  func oneDone() {
    left -= 1
    if left == 0 { completion() }
  }
}
