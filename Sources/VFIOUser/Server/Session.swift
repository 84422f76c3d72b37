import CVFIOUserLinux
import Logging

/// One client's connection to a device: reads commands, has them answered, sends replies.
///
/// A session is passive. Poll `descriptor` for `interest` and call `process` when it is ready; it
/// never blocks and starts no thread. Event loops, a caller's own loop or a single-threaded tool use
/// it alike.
///
/// Order: commands start in the order of their arrival, and one that has to wait (a deferred access,
/// a fence) holds back those behind it. Replies to the device's own commands are consumed at all
/// times.
///
/// Threads: confined to the device's loop.
/// Source: vfio-user, "Command Concurrency".
public final class Session {
  /// What `process` left behind.
  public enum Progress: Sendable, Hashable {
    /// Nothing more can be done before the descriptor is ready or `onWake` is called.
    case waiting
    /// The limit was reached: call again.
    case more
    /// The connection is over.
    case ended
  }

  /// Called when `process` should be called though the descriptor says nothing new.
  public var onWake: (() -> Void)?
  /// Called when `interest` has changed.
  public var onInterestChange: (() -> Void)?
  /// Called once, when the connection is over, with the reason.
  public var onEnd: ((SessionEnd) -> Void)?

  let host: DeviceHost
  let channel: MessageChannel
  /// Carries our commands and their replies where the client asked for a second socket.
  var twin: MessageChannel?
  var twinWatch: WatchToken?
  var logger: Logger

  /// What both sides have agreed on.
  public internal(set) var capabilities = Capabilities()
  var isNegotiated = false
  /// The most descriptors that the client may send in one message.
  var descriptorLimit: Int
  /// What the client reaches the device through beside its messages.
  let ports: SessionPorts
  /// How the client lays out DMA messages.
  var dmaMessageLayout = DMAMessageLayout.specification
  var end: SessionEnd?

  /// How many messages were handled since the start.
  private(set) var handledCount: UInt64 = 0
  /// How many things hold back the start of commands.
  private(set) var holdCount = 0
  private var isProcessing = false
  /// Commands that arrived while replies had to be looked for behind them.
  var heldCommands = HeldCommands()

  /// The access whose handler runs now, for `deferReply`.
  var current = AccessInProgress()
  var deferred = DeferredAccesses()
  var outstanding = OutstandingCommands()
  /// Runs when the oldest of them has had its time.
  var deadlineTimer: TimerToken?

  init(host: DeviceHost, socket: consuming OwnedDescriptor, logger: Logger) throws(Errno) {
    self.host = host
    self.logger = logger
    ports = SessionPorts(host: host, logger: logger)
    descriptorLimit = host.options.maximumMessageDescriptorCount
    channel = try MessageChannel(
      adopting: socket, maximumMessageByteCount: host.options.maximumMessageByteCount)
  }

  /// The socket to poll.
  public var descriptor: CInt { channel.socket.rawValue }

  /// What to poll it for.
  public var interest: EventInterest {
    guard end == nil else { return [] }
    // A client that reads no replies gets no further commands served.
    var interest: EventInterest = channel.backlog.byteCount > Self.backlogLimit ? [] : .readable
    if holdCount > 0, outstanding.isEmpty { interest.remove(.readable) }
    if !channel.backlog.isEmpty { interest.insert(.writable) }
    return interest
  }

  /// How many bytes of replies may wait for a client that does not read them, before its commands
  /// wait too.
  static let backlogLimit = 4 << 20

  // MARK: Processing

  /// Handles what has arrived: at most `limit` messages.
  public func process(limit: Int = 64) -> Progress {
    guard end == nil else { return .ended }
    guard !isProcessing else { return .waiting }
    isProcessing = true
    defer { isProcessing = false }
    do {
      if !channel.backlog.isEmpty {
        try channel.flushOrDrop()
        noteInterest()
      }
      return try processMessages(limit)
    } catch {
      finish(.failed(error))
      return .ended
    }
  }

  private func processMessages(_ limit: Int) throws(Errno) -> Progress {
    var handled = 0
    var hasReceived = false
    while handled < limit {
      if end != nil { return .ended }
      if channel.backlog.byteCount > Self.backlogLimit { return .waiting }
      if !heldCommands.isEmpty, holdCount == 0 {
        dispatchHeld()
        handled += 1
        continue
      }
      switch nextMessage() {
      case .handled: handled += 1
      case .blocked:
        // Nobody reads the replies of a client that is gone: what it left behind is dropped, or its
        // hangup would wake the loop until the device has answered.
        guard channel.hasPeerHungUp else { return .waiting }
        finish(.clientClosed)
        return .ended
      case .lost: return .ended
      case .incomplete:
        // One receive for a message: what follows is announced by the descriptor, and asking for it
        // now would only delay the sleep that lets the client run.
        if hasReceived, handled > 0 { return .waiting }
        switch channel.receive() {
        case .received: hasReceived = true
        case .empty: return .waiting
        case .ended:
          finish(.clientClosed)
          return .ended
        case .failed(let error):
          guard error.isHangup else { throw error }
          // The client left replies unread when it closed.
          finish(.clientClosed)
          return .ended
        }
      }
    }
    return .more
  }

  /// What `nextMessage` did.
  enum Step { case handled, incomplete, blocked, lost }

  /// Handles the message at the head of the stream, if it is complete and may start.
  @inline(__always)
  func nextMessage() -> Step {
    let header: MessageHeader
    do throws(WireError) {
      guard let found = try channel.nextHeader() else { return .incomplete }
      header = found
    } catch {
      finish(.protocolError(error.context))
      return .lost
    }
    if header.isCommand {
      if holdCount > 0, !mayStart(header) { return hold(header) }
      start(header)
    } else if header.isReply {
      consumeReply(header, on: channel)
    } else {
      finish(.protocolError("a message is neither command nor reply"))
      return .lost
    }
    handledCount &+= 1
    return .handled
  }

  /// Starts the command at the head of the stream.
  @inline(__always)
  private func start(_ header: MessageHeader) {
    channel.take(header) { payload in
      var descriptors = channel.takeDescriptors()
      dispatch(header, payload, &descriptors)
    }
  }

  /// A reset need not wait for an access that it voids. One that will be refused voids nothing, and waits.
  private func mayStart(_ header: MessageHeader) -> Bool {
    guard header.command == .deviceReset, heldCommands.isEmpty, isNegotiated,
      header.payloadByteCount == 0, host.layout.flags.contains(.reset),
      !channel.hasDescriptors(for: header)
    else { return false }
    voidDeferredAccesses(answering: .canceled)
    return holdCount == 0
  }

  /// Puts the command at the head aside, when replies behind it are waited for.
  private func hold(_ header: MessageHeader) -> Step {
    guard !outstanding.isEmpty else { return .blocked }
    var hasRoom = false
    channel.take(header) { payload in
      hasRoom = heldCommands.append(header, payload, channel.takeDescriptors())
    }
    if hasRoom { return .handled }
    finish(.protocolError("too many commands arrived while one was in progress"))
    return .lost
  }

  private func dispatchHeld() {
    guard let held = heldCommands.removeFirst() else { return }
    var descriptors = held.takeDescriptors()
    let payload = held.payload
    dispatch(held.header, payload.rawSpan, &descriptors)
  }

  // MARK: Holding

  /// Holds back the start of commands until `releaseHold`.
  func addHold() { holdCount += 1 }

  func releaseHold() {
    holdCount -= 1
    guard holdCount == 0, end == nil else { return }
    noteInterest()
    if !isProcessing { onWake?() }
  }

  func noteInterest() { onInterestChange?() }

  /// Exchanges messages until `isDone`, for DMA that blocks; see `DMAMessageChannel.pump`.
  ///
  /// Where a stream ends meanwhile, nothing is waited for any more, and no more than that: the commands
  /// that the client has left behind still count, and `process` finds the end after them.
  func exchangeMessages(until isDone: () -> Bool) -> Bool {
    let deadline = MonotonicTime.now.advanced(by: host.options.clientTimeout)
    addHold()
    defer { releaseHold() }
    while !isDone() {
      guard end == nil else { return false }
      do throws(Errno) {
        if let twin {
          switch try exchange(on: twin) {
          case .worked: continue
          case .ended: return giveUpWaiting(isDone)
          case .idle: break
          }
          // A client with one thread may be sending us a command: it answers once that is read.
          let takesCommands = heldCommands.hasRoom
          if takesCommands {
            switch try exchange(on: channel) {
            case .worked: continue
            case .ended: return giveUpWaiting(isDone)
            case .idle: break
            }
          }
          guard
            MessageChannel.wait(for: [(twin, true), (channel, takesCommands)], until: deadline)
          else { return false }
        } else {
          switch try exchange(on: channel) {
          case .worked: continue
          case .ended: return giveUpWaiting(isDone)
          case .idle: break
          }
          guard channel.wait(until: deadline) else { return false }
        }
      } catch {
        finish(.failed(error))
      }
    }
    return true
  }

  /// What one step of `exchangeMessages` came to.
  private enum Exchange { case worked, idle, ended }

  /// One step of `exchangeMessages` on one socket.
  private func exchange(on lane: MessageChannel) throws(Errno) -> Exchange {
    if !lane.backlog.isEmpty { try lane.flushOrDrop() }
    switch lane === channel ? nextMessage() : nextReply(on: lane) {
    case .handled, .lost: return .worked
    case .blocked, .incomplete: break
    }
    switch lane.receive() {
    case .received: return .worked
    case .empty: return .idle
    case .ended: return .ended
    case .failed(let error):
      if error.isHangup { return .ended }
      throw error
    }
  }

  /// Fails what waits for replies of a client that sends none any more.
  private func giveUpWaiting(_ isDone: () -> Bool) -> Bool {
    failOutstandingCommands(.cancelled)
    return isDone()
  }

  // MARK: Sending

  /// Sends a reply that was built in the channel's buffer.
  @inline(__always)
  func sendBuiltReply(_ byteCount: Int, descriptors: [CInt] = []) {
    do throws(Errno) {
      try channel.sendBuilt(byteCount, descriptors: descriptors)
      if !channel.backlog.isEmpty { noteInterest() }
    } catch {
      sendFailed(error)
    }
  }

  /// A client that has hung up reads no replies, but the commands that it left behind still count:
  /// the end of the stream follows them.
  func sendFailed(_ error: Errno) {
    if !error.isHangup { finish(.failed(error)) }
  }

  /// Answers a command with an error, if it wants an answer.
  func refuse(_ header: MessageHeader, _ error: Errno) {
    guard header.wantsReply else { return }
    reply(.errorReply(to: header, error))
  }

  /// Answers a command with a header alone.
  func reply(_ header: MessageHeader) {
    channel.build(MessageHeader.byteCount) { try? header.encode(into: &$0) }
    sendBuiltReply(MessageHeader.byteCount)
  }

  /// Answers a command with a message.
  func reply(
    to header: MessageHeader, _ message: some WireMessage, descriptors: [CInt] = []
  ) {
    guard header.wantsReply else { return }
    let payloadByteCount = message.encodedByteCount
    let total = MessageHeader.byteCount + payloadByteCount
    channel.build(total) { bytes in
      // The buffer has the length that the message asked for.
      try? MessageHeader.reply(to: header, payloadByteCount: payloadByteCount)
        .encode(into: &bytes)
      try? message.encode(into: &bytes, at: MessageHeader.byteCount)
    }
    sendBuiltReply(total, descriptors: descriptors)
  }

  // MARK: The end

  /// Ends the session: nothing is answered any more, and everything that waits is voided.
  func finish(_ reason: SessionEnd) {
    guard end == nil else { return }
    end = reason
    // The client learns of it now, not when the device is at rest and the socket is closed. What was
    // sent before still reaches it.
    channel.shutDown()
    twin?.shutDown()
    ports.close()
    deferred.removeAll()
    heldCommands.removeAll()
    if let twinWatch { host.loop.unwatch(twinWatch) }
    twinWatch = nil
    if let deadlineTimer { host.loop.cancel(deadlineTimer) }
    deadlineTimer = nil
    failOutstandingCommands(.cancelled)
    host.sessionEnded(self)
    onEnd?(reason)
  }

  /// Ends the session from the server's side.
  public func close() { finish(.serverClosed) }
}
