import CVFIOUserLinux

/// A connection to a device that another process serves.
///
/// For a virtual machine monitor, for a driver in user space, and for tests. It trusts nothing that
/// the server sends: whatever breaks the protocol ends the connection with `protocolViolation`, and
/// no wait is longer than `ClientOptions.timeout`.
///
/// Threads: any. A call sends its command and receives its reply on the calling thread. Where
/// several threads wait, one of them receives for all. Whoever receives also answers the server's
/// commands (`DMA_READ`, `DMA_WRITE`); while nobody waits for a reply, `process()` or
/// `serve(timeout:)` does.
///
/// Errors: what **every call** that sends a command may throw, beside what its own text says:
/// `disconnected` and `protocolViolation` when the connection is over, or ends now, for every later
/// call as well; `rejected` with the server's error number; `timedOut`, after which the server may
/// still carry the command out; `tooManyPending` while 1024 commands wait for their replies; and
/// `systemCall` (EMFILE) when this process has no room for the descriptors of a reply.
/// Source: vfio-user specification.
public final class DeviceClient: @unchecked Sendable {
  /// Constant, but that tests shorten the time-out of a client that nobody uses at the moment.
  var options: ClientOptions
  let channel: MessageChannel
  /// The socket of the server's commands; set before the client is handed out, then constant.
  var twin: MessageChannel?
  /// What holds on this connection, limits included.
  public internal(set) var capabilities = Capabilities()
  /// What the device is; constant after connecting.
  public internal(set) var deviceInfo = DeviceInfo(flags: [], regionCount: 0, interruptTypeCount: 0)

  /// Guards everything below, and sending. Lock order: this one, then a `ClientMemory`'s own.
  let lock = ConditionLock()
  var replies = ReplyTable()
  var failure: ClientError?
  /// Whether a thread receives; only that one touches the receiving half of the channels.
  var isReceiving = false
  /// Whether replies to the server's commands wait for room in a socket. Only for the receiver.
  var hasQueuedReplies = false
  var waiterCount = 0
  var grants = GrantTable()
  /// What was learned about regions. Not the objects, which keep the client alive.
  var regions: [Int: (info: RegionInfo, areas: [MappedArea])] = [:]
  /// How often the server took back what it had said about a region.
  var regionChangeCount = 0
  var spin: SpinPolicy

  /// Connects to a server's socket and negotiates.
  ///
  /// - Parameters:
  ///   - path: the socket, or a folder that holds one named `cntrl`; see ``socketPath(_:)``.
  ///   - options: limits, and what is mapped.
  /// - Throws: `connectFailed`, `timedOut`, `incompatible`, or what the first commands throw.
  public static func connect(
    path: String, options: ClientOptions = ClientOptions()
  ) throws(ClientError) -> DeviceClient {
    try connect(adopting: try openSocket(path, timeout: options.timeout), options: options)
  }

  /// Connects a socket to a server's, without negotiating.
  package static func openSocket(
    _ path: String, timeout: Duration
  ) throws(ClientError) -> OwnedDescriptor {
    let deadline = MonotonicTime.now.advanced(by: timeout)
    let socket = socketPath(path)
    while true {
      // Safety: the path is copied into an address during the call.
      let result = unsafe cvfu_connect(socket)
      if result >= 0 { return OwnedDescriptor(adopting: result) }
      let errno = Errno(rawValue: 0 - result)
      // The server's queue of connections is full: it will be served in time or not at all.
      guard errno == .resourceTemporarilyUnavailable, MonotonicTime.now < deadline else {
        throw ClientError(.connectFailed, errno, "cannot connect to the socket")
      }
      usleep(2000)
    }
  }

  /// Negotiates on a connected stream socket, which the client then owns.
  ///
  /// - Throws: as `connect(path:options:)`.
  public static func connect(
    adopting socket: consuming OwnedDescriptor, options: ClientOptions = ClientOptions()
  ) throws(ClientError) -> DeviceClient {
    let channel: MessageChannel
    do throws(Errno) {
      channel = try MessageChannel(
        adopting: socket, maximumMessageByteCount: MessageHeader.byteCount + 65536)
      // A call blocks in recvmsg itself, bounded by the socket's own timeout: one system call less.
      try channel.enableBlockingReceive(timeout: options.timeout)
    } catch {
      throw ClientError(.systemCall, error, "cannot use the socket")
    }
    let client = DeviceClient(channel: channel, options: options)
    try client.negotiate()
    client.deviceInfo = try client.queryDeviceInfo()
    return client
  }

  private init(channel: MessageChannel, options: ClientOptions) {
    self.channel = channel
    self.options = options
    spin = SpinPolicy(mode: options.polling)
    spin.adoptThread()
  }

  private func negotiate() throws(ClientError) {
    let proposal = options.proposal
    let reply: (message: VersionMessage, twin: HeldDescriptor?)
    do {
      reply = try call(.version, proposal) { payload, descriptors throws(WireError) in
        let message = try VersionMessage(decoding: payload)
        guard let twin = message.capabilities?.twinSocket, twin.isSupported,
          let index = twin.descriptorIndex
        else { return (message, nil) }
        guard let socket = descriptors.take(at: Int(clamping: index)) else {
          throw WireError(.misplacedDescriptors, "the twin socket did not come along")
        }
        return (message, HeldDescriptor(socket))
      }
      capabilities = try Negotiation.accept(reply: reply.message, proposal: proposal)
    } catch let error as WireError {
      throw fail(ClientError(.incompatible, .protocolNotSupported, error.context))
    } catch let error as ClientError {
      throw error
    } catch {
      throw .closed
    }
    let limit =
      MessageHeader.byteCount + max(65536, 64 + Int(capabilities.effectiveTransferByteCount))
    channel.maximumMessageByteCount = limit
    guard let box = reply.twin, let socket = box.take() else { return }
    guard cvfu_is_listening(socket.rawValue) == 0 else {
      throw fail(ClientError(.protocolViolation, .badMessage, "the twin socket is no socket"))
    }
    do { twin = try MessageChannel(adopting: socket, maximumMessageByteCount: limit) } catch {
      throw fail(ClientError(.systemCall, error, "cannot use the twin socket"))
    }
  }

  // MARK: State

  /// Why the connection is over, or nil while it is usable.
  ///
  /// It notices a server that went away only when something is received; see `isConnected`.
  public var connectionFailure: ClientError? {
    lock.withLock { failure }
  }

  /// Whether the connection is usable and the server has not closed its end.
  public var isConnected: Bool {
    if connectionFailure != nil { return false }
    return !channel.hasPeerHungUp
  }

  /// The longest wait for a reply.
  public var timeout: Duration { options.timeout }

  /// Whether the server's commands travel on a socket of their own.
  public var hasTwinSocket: Bool { twin != nil }

  /// The descriptors to watch for input in a loop of the caller's: call `process()` when one of
  /// them is readable. Never read from, or close, them.
  public var descriptors: [CInt] {
    [channel.socket.rawValue] + (twin.map { [$0.socket.rawValue] } ?? [])
  }

  /// Ends the connection: each call that waits fails, and so does each later one.
  public func close() {
    _ = fail(.closed)
  }

  /// Gives the connection up, once, wakes everybody, and returns why it was given up.
  func fail(_ error: ClientError) -> ClientError {
    lock.withLock {
      if let failure { return failure }
      failure = error
      // Whoever blocks in a receive sees the end of the stream.
      _ = shutdown(channel.socket.rawValue, CInt(SHUT_RDWR))
      if let twin { _ = shutdown(twin.socket.rawValue, CInt(SHUT_RDWR)) }
      lock.broadcast()
      return error
    }
  }
}
