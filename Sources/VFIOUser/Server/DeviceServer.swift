import CVFIOUserLinux
public import Logging

/// Serves one device on a UNIX socket: one client at a time, one after the other.
///
/// While a client is served, a second one is answered with `EBUSY` to its VERSION and its
/// connection is closed, unless the first has hung up: then it is taken over as soon as the device
/// is at rest.
///
/// Threads: confined to the loop of its host.
public final class DeviceServer {
  /// The device and its state.
  public let host: DeviceHost
  /// Called when an inherited connection has ended and no socket is left to accept others on.
  public var onExhausted: (() -> Void)?

  private let loop: EventLoop
  private let logger: Logger
  private var listener: ListeningSocket?
  private var listenerWatch: WatchToken?
  /// Runs when the listener is looked after again.
  private var acceptTimer: TimerToken?
  /// Whether it was said already that clients cannot be accepted.
  private var hasWarned = false
  private var session: Session?
  private var sessionWatch: WatchToken?
  private var sessionPoller: PollerToken?
  private var interest: EventInterest = []
  /// How often in a row the socket was empty when the loop looked.
  private let silence = Silence()
  /// A client that came while the device was still being brought to rest after the one before.
  private var next: HeldDescriptor?
  private var refused: [RefusedConnection] = []

  /// Makes a server without a socket; `listen` or `adopt` gives it one.
  public init(host: DeviceHost, logger: Logger = Logger(label: "vfio-user")) {
    self.host = host
    self.logger = logger
    loop = host.loop
    host.onVacant = { [weak self] in self?.becameVacant() }
  }

  // MARK: Sockets

  /// Listens on a socket path. A stale socket file is replaced, a live one is refused.
  ///
  /// - Throws: a ``ServerError`` whose text says what to do, and whose error number is `EADDRINUSE`
  ///   for a live socket, `EEXIST` for a file that is no socket, `ENAMETOOLONG` for a path that no
  ///   socket can have, else what bind(2), listen(2) or epoll_ctl(2) says.
  public func listen(path: String) throws(ServerError) {
    try listen(on: ListeningSocket(path: path))
  }

  /// Serves on an inherited descriptor: a listening socket, or one connection.
  ///
  /// - Throws: a ``ServerError``: `ENOTSOCK` for what is no socket, `EBUSY` for a connection
  ///   while another one is served, else what fcntl(2) or epoll_ctl(2) says. The descriptor is
  ///   closed then.
  public func adopt(_ descriptor: consuming OwnedDescriptor) throws(ServerError) {
    let raw = descriptor.rawValue
    switch cvfu_is_listening(raw) {
    case 1: try listen(on: ListeningSocket(adopting: descriptor))
    case 0:
      do throws(Errno) { try serve(descriptor) } catch {
        throw ServerError("descriptor \(raw) cannot be served: \(error)", error)
      }
    default:
      throw ServerError(
        "descriptor \(raw) is no socket: pass a listening or a connected UNIX socket", .notSocket)
    }
  }

  /// Accepts no more clients, ends the one that is served, removes the socket file and calls
  /// `completion` when the device is at rest.
  public func stop(completion: @escaping () -> Void) {
    ignoreListener()
    if let acceptTimer { loop.cancel(acceptTimer) }
    acceptTimer = nil
    listener = nil
    next = nil
    refused = []
    host.stop(completion: completion)
  }

  private func listen(on socket: ListeningSocket) throws(ServerError) {
    do throws(Errno) { try watch(socket) } catch {
      throw ServerError("cannot watch the socket: \(error)", error)
    }
    listener = socket
  }

  private func watch(_ socket: ListeningSocket) throws(Errno) {
    listenerWatch = try loop.watch(socket.rawValue, .readable) { [weak self] _ in
      self?.acceptClients()
    }
  }

  private func ignoreListener() {
    if let listenerWatch { loop.unwatch(listenerWatch) }
    listenerWatch = nil
  }

  /// Whether clients that come are noticed at once.
  var isListening: Bool { listenerWatch != nil }

  private func acceptClients() {
    guard let listener else { return }
    while true {
      do throws(Errno) {
        guard let socket = try listener.accept() else { return }
        hasWarned = false
        welcome(socket)
      } catch { return acceptLater(error) }
    }
  }

  /// How long clients wait where one could not be accepted.
  private static let acceptPause = Duration.milliseconds(100)

  /// Leaves the clients at the door alone for a while: they stay in the queue, as a rule because no
  /// descriptor is left, and would wake the loop again and again.
  private func acceptLater(_ error: Errno) {
    if !hasWarned {
      logger.warning("a client could not be accepted, it waits: \(error)")
      hasWarned = true
    }
    ignoreListener()
    acceptTimer = loop.schedule(after: Self.acceptPause) { [weak self] in
      guard let self, let listener else { return }
      acceptTimer = nil
      // Who came meanwhile is announced now.
      do throws(Errno) { try watch(listener) } catch { acceptLater(error) }
    }
  }

  private func welcome(_ socket: consuming OwnedDescriptor) {
    if let session, session.channel.hasPeerHungUp {
      // The old client's last messages count; its end-of-stream follows them.
      while session.process() == .more {}
    }
    guard host.isOccupied else {
      do throws(Errno) { try serve(socket) } catch {
        logger.warning("a client could not be served: \(error)")
      }
      return
    }
    if session == nil, next == nil {
      next = HeldDescriptor(socket)
    } else {
      refuse(socket)
    }
  }

  private func becameVacant() {
    if let socket = next?.take() {
      next = nil
      do throws(Errno) { return try serve(socket) } catch {
        logger.warning("a client could not be served: \(error)")
      }
    }
    if listener == nil, session == nil { onExhausted?() }
  }

  private func refuse(_ socket: consuming OwnedDescriptor) {
    logger.warning("a second client was refused: the device is in use")
    refused.removeAll(where: \.isOver)
    // A crowd at the door gets no answer at all.
    guard refused.count < 16 else { return }
    if let refusal = try? RefusedConnection(socket, loop: loop) { refused.append(refusal) }
  }

  // MARK: The client

  private func serve(_ socket: consuming OwnedDescriptor) throws(Errno) {
    let session = try host.makeSession(adopting: socket)
    self.session = session
    interest = session.interest
    session.onEnd = { [weak self] reason in self?.sessionEnded(reason) }
    session.onWake = { [weak self] in
      guard let self else { return }
      let confined = LoopConfined(self)
      self.loop.post { confined.value.pump() }
    }
    session.onInterestChange = { [weak self] in self?.followInterest() }
    sessionWatch = try loop.watch(session.descriptor, interest) { [weak self] _ in self?.pump() }
    let silence = silence
    sessionPoller = loop.addPoller { [weak self] in
      silence.isTimeToAsk ? self?.poll() ?? false : false
    }
    logger.info("client connected")
  }

  /// Handles what the client sent; called when its socket is ready.
  private func pump() {
    guard let session else { return }
    loop.noteActivity()
    silence.end()
    if session.process() == .more {
      let confined = LoopConfined(self)
      loop.post { confined.value.pump() }
    }
  }

  /// Looks for a message without being told of one; called while the loop spins.
  private func poll() -> Bool {
    guard let session else { return false }
    let before = session.handledCount
    let progress = session.process()
    guard session.handledCount != before || progress == .ended else {
      silence.note()
      return false
    }
    silence.end()
    loop.noteActivity()
    return true
  }

  private func followInterest() {
    guard let session, let sessionWatch, session.interest != interest else { return }
    interest = session.interest
    loop.modify(sessionWatch, interest)
  }

  private func sessionEnded(_ reason: SessionEnd) {
    if let sessionWatch { loop.unwatch(sessionWatch) }
    if let sessionPoller { loop.removePoller(sessionPoller) }
    sessionWatch = nil
    sessionPoller = nil
    session = nil
    switch reason {
    case .clientClosed, .serverClosed: logger.info("client gone: \(reason)")
    default: logger.warning("client gone: \(reason)")
    }
    if !host.isOccupied, listener == nil { onExhausted?() }
  }
}

/// How often a client that says nothing is asked whether it has said something.
///
/// Asking the kernel costs more than a round of the device's own pollers: a client that has been
/// silent for a while is asked less often, and epoll tells as well.
private final class Silence {
  private var misses = 0

  private static let toleratedMisses = 32
  private static let manyMisses = 4096

  /// Whether to ask this time; to be asked once in each round of pollers.
  @inline(__always)
  var isTimeToAsk: Bool {
    guard misses >= Self.toleratedMisses else { return true }
    misses &+= 1
    return misses % (misses < Self.manyMisses ? 8 : 64) == 0
  }

  /// The client was asked in vain.
  func note() {
    if misses < Self.toleratedMisses { misses += 1 }
  }

  /// The client has said something.
  func end() { misses = 0 }
}
