/// A connection to a device that outlives the device's process.
///
/// It is used as a ``DeviceClient`` is. When the server is lost it notices at once, also while no call is
/// in flight, and goes by its policy: it fails, or waits for the server and takes up where it was.
/// Memory is mapped again in its old order, interrupts keep their eventfds (so that a KVM irqfd lives
/// on) and their masks, and regions that were handed out go on working. A device that is not the same
/// any more is refused.
///
/// ```swift
/// var policy = ReconnectPolicy.reconnect(within: .seconds(30))
/// policy.repeatableReads = [RepeatableReads(region: 0, offset: RegionOffset(0), byteCount: 4096)]
/// let device = try ReconnectingClient.connect(path: "/run/edu.sock", policy: policy) { event in
///   if case .lost = event { print("the device is away") }
/// }
/// let registers = try device.region(at: 0)
/// try device.mapMemory(memory, at: DMAAddress(0))
/// let interrupts = try device.enableInterrupts(index: 1, count: 1)
///
/// do {
///   try registers.write(UInt32(5), at: RegionOffset(8))
/// } catch let error as ClientError where error.code == .interruptedByReconnect {
///   // The device may or may not have had it; it has forgotten it if its process is a new one.
/// }
/// ```
///
/// Errors: beside what the same call of ``DeviceClient`` throws, **every call** may throw
/// `timedOut` while the server is away, `interruptedByReconnect` where the table below says so, and
/// once the connection is over for good why it is: `deviceChanged`, `gaveUp`, `disconnected` after
/// ``close()``, or the loss itself with ``ReconnectPolicy/fail``.
///
/// What becomes of a call that the loss meets:
///
/// | the call | |
/// |---|---|
/// | was not sent yet, or comes while the server is away | waits, and is sent when it is back |
/// | reads configuration space, or a range of `ReconnectPolicy.repeatableReads` | is repeated |
/// | maps memory, arms or masks interrupts, asks about the device | is repeated |
/// | anything else | fails with `interruptedByReconnect` |
/// | was posted before the loss was noticed | may be lost; `ConnectionEvent.lost` tells |
///
/// A call waits for the server at most `ClientOptions.timeout` and fails with `timedOut` then; the
/// search goes on meanwhile, for as long as the policy says. A monitor whose CPUs must be stopped at any
/// time waits itself: `ReconnectPolicy.callsWait`.
///
/// Threads: any.
public final class ReconnectingClient: @unchecked Sendable {
  /// How each connection behaves. Constant, but for tests, as `DeviceClient.options`.
  public internal(set) var options: ClientOptions
  /// What happens when the server is lost.
  public let policy: ReconnectPolicy
  /// The device that must come back.
  let identity: DeviceIdentity

  let opening: @Sendable () throws(ClientError) -> OwnedDescriptor
  let onEvent: @Sendable (ConnectionEvent) -> Void
  /// Tells a new server what this class does not know of.
  let restoring: @Sendable (DeviceClient) throws(ClientError) -> Void
  /// Hears of regions that change.
  let relay: RegionChangeRelay

  /// Where the connection stands.
  enum Phase {
    case connected(DeviceClient)
    case recovering
    case over(ClientError)
  }

  /// Guards everything up to the next mark. Lock order: this one, then a `RegionSlot`'s. No call to a
  /// `DeviceClient` is made with it.
  let lock = ConditionLock()
  var phase: Phase
  /// Whether `close()` was called: nobody is told of anything any more.
  var isClosed = false
  var slots: [Int: RegionSlot] = [:]
  /// Grants are taken out of it at any time; everything else changes only while `phase` is `connected`.
  var ledger = SessionLedger()
  /// The socket of an attempt, so that closing can end it.
  var attemptSocket: OwnedDescriptorHolder?

  /// Watches the socket, and brings the connection back.
  let thread: LoopThread
  /// Everything of the thread's own: confined to its loop.
  var recovery: Recovery

  // MARK: Connecting

  /// Connects to a server's socket and negotiates.
  ///
  /// - Parameters:
  ///   - path: the socket, as `DeviceClient.connect(path:options:)` takes it.
  ///   - options: how each connection behaves.
  ///   - policy: what happens when the server is lost.
  ///   - onEvent: called on the client's own thread, one event at a time. Calls to the device may be made
  ///     from it only for `restored`: in the others they would wait for the thread that runs it.
  /// - Throws: as `DeviceClient.connect(path:options:)`. The policy is for later.
  public static func connect(
    path: String, options: ClientOptions = ClientOptions(),
    policy: ReconnectPolicy = .reconnect(),
    onEvent: @escaping @Sendable (ConnectionEvent) -> Void = { _ in }
  ) throws(ClientError) -> ReconnectingClient {
    let timeout = options.timeout
    return try connect(options: options, policy: policy, onEvent: onEvent) {
      () throws(ClientError) in
      try DeviceClient.openSocket(path, timeout: timeout)
    }
  }

  /// The same for sockets that are found in another way, such as by asking a supervisor.
  ///
  /// - Parameters:
  ///   - restoring: called after a loss with each new connection, on the client's own thread: memory and
  ///     interrupts are as they were, and no call uses it yet. It tells the server what else it has to
  ///     know. What it throws fails the attempt; `deviceChanged` ends the search.
  ///   - opening: makes a connected stream socket; called now, and for each attempt on the client's own
  ///     thread.
  public static func connect(
    options: ClientOptions = ClientOptions(), policy: ReconnectPolicy = .reconnect(),
    onEvent: @escaping @Sendable (ConnectionEvent) -> Void = { _ in },
    restoring: @escaping @Sendable (DeviceClient) throws(ClientError) -> Void = { _ in },
    opening: @escaping @Sendable () throws(ClientError) -> OwnedDescriptor
  ) throws(ClientError) -> ReconnectingClient {
    let relay = RegionChangeRelay(options.onRegionChanged)
    let client = try DeviceClient.connect(
      adopting: try opening(), options: relay.relaying(options))
    let reconnecting = try ReconnectingClient(
      client, try DeviceIdentity(of: client), options, policy, onEvent, restoring, opening,
      relay)
    relay.owner.withLock { $0 = WeakClient(reconnecting) }
    reconnecting.onLoop { $0.watch(client) }
    return reconnecting
  }

  private init(
    _ client: DeviceClient, _ identity: DeviceIdentity, _ options: ClientOptions,
    _ policy: ReconnectPolicy, _ onEvent: @escaping @Sendable (ConnectionEvent) -> Void,
    _ restoring: @escaping @Sendable (DeviceClient) throws(ClientError) -> Void,
    _ opening: @escaping @Sendable () throws(ClientError) -> OwnedDescriptor,
    _ relay: RegionChangeRelay
  ) throws(ClientError) {
    do { thread = try LoopThread(name: "vfio-reconnect", polling: .never) } catch {
      throw ClientError(.systemCall, error, "cannot start a thread")
    }
    self.options = options
    self.policy = policy
    self.identity = identity
    self.onEvent = onEvent
    self.restoring = restoring
    self.opening = opening
    self.relay = relay
    phase = .connected(client)
    recovery = Recovery(delay: policy.firstDelay)
  }

  deinit {
    close()
    thread.end()
  }

  /// Ends the connection: each call that waits fails, and so does each later one. No event follows.
  public func close() {
    let (client, socket) = lock.withLock { () -> (DeviceClient?, OwnedDescriptorHolder?) in
      var client: DeviceClient?
      isClosed = true
      if case .connected(let current) = phase { client = current }
      if case .over = phase { return (nil, nil) }
      phase = .over(.closed)
      forgetRegions()
      lock.broadcast()
      return (client, attemptSocket)
    }
    client?.close()
    socket?.shutDown()
  }

  // MARK: State

  /// Whether the server is there; what is said may be over by the time it is read.
  public var isConnected: Bool {
    connection != nil
  }

  /// Whether the server is away and may come back.
  public var isAway: Bool {
    lock.withLock { if case .recovering = phase { true } else { false } }
  }

  /// The connection that there is now; nil while the server is away.
  package var connection: DeviceClient? {
    lock.withLock { if case .connected(let client) = phase { client } else { nil } }
  }

  /// Gives the present connection up, as if its server had died.
  package func drop(_ reason: ClientError) {
    if let connection { noteLoss(of: connection, reason) }
  }

  /// Why the connection is over for good, or nil while there is hope.
  public var failure: ClientError? {
    lock.withLock { if case .over(let error) = phase { error } else { nil } }
  }

  /// What holds on the connection that there is now, limits included; nil while the server is away.
  public var capabilities: Capabilities? {
    connection?.capabilities
  }

  /// What the device is.
  public var deviceInfo: DeviceInfo {
    DeviceInfo(
      flags: identity.flags, regionCount: identity.regionCount,
      interruptTypeCount: identity.interruptTypeCount)
  }

  /// No region has an object to be reached through. The caller holds the lock.
  func forgetRegions() {
    for slot in slots.values { slot.forget() }
  }

  /// The next access asks for the region again.
  func regionChanged(_ index: Int) {
    lock.withLock { slots[index]?.forget() }
  }

  /// Runs something on the client's thread, if the client is still there then.
  package func onLoop(_ work: @escaping @Sendable (ReconnectingClient) -> Void) {
    thread.loop.post { [weak self] in
      if let self { work(self) }
    }
  }
}
