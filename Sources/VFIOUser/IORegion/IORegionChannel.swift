import CVFIOUserLinux
import Synchronization

/// The monitor's end of an ioregionfd: accesses go out, and responses come back, over a socket.
///
/// The socket is one of a connected pair of UNIX sequenced-packet sockets (`SOCK_SEQPACKET`), which the
/// server made. The kernel keeps the packets apart: whoever sends 31 bytes shifts nothing. A command
/// that is waited for costs one send and one receive; a posted write costs one send, and blocks only
/// while the socket is full because the server is slow in reading.
///
/// An access has one time for all of its waits, however many signals interrupt them.
///
/// Threads: any; one access is in flight, first come first served. A signal whose handler was
/// installed without `SA_RESTART` interrupts a wait.
/// Source: the ioregionfd design.
public final class IORegionChannel: IORegionPort, @unchecked Sendable {
  private let socket: OwnedDescriptor
  /// The longest wait for a response, or for room.
  private let timeout: Duration
  private let polling: PollingMode
  private let turns = IORegionTurns()
  /// Stored once with release ordering; pairs with the acquiring loads before each access.
  private let isClosed = Atomic<Bool>(false)
  /// When the receive that blocks has to be over, in nanoseconds of the monotonic clock; 0 while none
  /// blocks. For the watchdog, which only compares it with the time.
  private let blockedUntil = Atomic<UInt64>(0)
  /// Only for who has the turn.
  private var spin: SpinPolicy

  /// Takes over a connected socket.
  ///
  /// - Parameters:
  ///   - descriptor: the socket, as it came with `VFIO_USER_DEVICE_GET_REGION_IO_FDS`.
  ///   - timeout: the longest wait for a response, and for room for a posted write.
  ///   - polling: whether to look for a response without sleeping for some microseconds first.
  /// - Throws: `EINVAL` when it is no UNIX socket of sequenced packets, else what the kernel says; the
  ///   descriptor is closed then.
  public init(
    adopting descriptor: consuming OwnedDescriptor, timeout: Duration = .seconds(5),
    polling: PollingMode = .never
  ) throws(Errno) {
    guard Self.option(SO_DOMAIN, of: descriptor.rawValue) == AF_UNIX,
      Self.option(SO_TYPE, of: descriptor.rawValue) == CInt(SOCK_SEQPACKET.rawValue),
      cvfu_is_listening(descriptor.rawValue) == 0
    else { throw .invalidArgument }
    _ = try Errno.checkShim(cvfu_set_nonblocking(descriptor.rawValue, false))
    let limit = max(timeout, .milliseconds(1))
    try Self.limitReceive(descriptor.rawValue, to: limit)
    socket = descriptor
    self.timeout = limit
    self.polling = polling
    spin = SpinPolicy(mode: polling)
    spin.adoptThread()
    IORegionWatchdog.shared.watch(self, every: limit)
  }

  deinit {
    // Whoever holds another descriptor of the socket: the server sees the end.
    close()
  }

  // MARK: Accesses

  /// Carries an access out; see ``IORegionPort/perform(_:_:)``.
  public func perform(
    _ command: IORegionCommand, _ progress: inout IORegionProgress
  ) -> IORegionOutcome {
    switch turns.take(&progress) {
    case .settled(let outcome): return outcome.cut(to: command)
    case .interrupted: return .interrupted
    case .granted: break
    }
    if let pending = turns.inFlight {
      if let outcome = finish(pending, &progress) { return outcome.cut(to: command) }
    }
    return exchange(command, &progress).cut(to: command)
  }

  /// Receives the response to an access that a signal left in flight.
  ///
  /// - Returns: how the caller's call ends; nil when its own access is still to be sent.
  private func finish(
    _ pending: IORegionAnswer, _ progress: inout IORegionProgress
  ) -> IORegionOutcome? {
    let isOwn = pending === progress.answer
    let outcome = receive(until: pending.deadline, mayBlockInReceive: false)
    guard outcome != .interrupted else {
      turns.stepBack(&progress)
      return .interrupted
    }
    turns.settle(pending, outcome)
    guard isOwn else { return nil }
    progress = IORegionProgress()
    turns.leave()
    return outcome
  }

  /// Sends a command and waits for its response; has the turn, and gives it away.
  private func exchange(
    _ command: IORegionCommand, _ progress: inout IORegionProgress
  ) -> IORegionOutcome {
    let deadline = progress.deadline ?? MonotonicTime.now.advanced(by: timeout)
    var hasWaited = progress.deadline != nil
    var outcome = send(command, until: deadline, &hasWaited)
    if outcome == .interrupted {
      progress.deadline = deadline
      turns.stepBack(&progress)
      return .interrupted
    }
    if outcome == nil, command.wantsResponse || command.operation == .read {
      // The socket's own time-out is that of a whole access: it bounds a wait that is the first one.
      outcome = receive(until: deadline, mayBlockInReceive: !hasWaited)
      if outcome == .interrupted {
        turns.interrupt(&progress, deadline: deadline)
        return .interrupted
      }
    }
    progress.deadline = nil
    turns.leave()
    return outcome ?? .done(0)
  }

  /// Sends a command; nil when it is sent.
  ///
  /// - Parameter hasWaited: set when the socket had no room at first.
  private func send(
    _ command: IORegionCommand, until deadline: MonotonicTime, _ hasWaited: inout Bool
  ) -> IORegionOutcome? {
    var bytes: [4 of UInt64] = [
      UInt64(command.info.littleEndian), command.userData.littleEndian,
      command.offset.littleEndian, command.data.littleEndian,
    ]
    if UInt64(1).littleEndian != 1 { bytes[0] <<= 32 }
    while true {
      guard !isClosed.load(ordering: .acquiring) else { return .failed(.closed) }
      var span = bytes.mutableSpan
      // Safety: the kernel reads the 32 bytes of a local variable.
      let count = unsafe span.withUnsafeMutableBytes { buffer in
        unsafe CVFIOUserLinux.send(
          socket.rawValue, buffer.baseAddress, buffer.count,
          CInt(MSG_DONTWAIT | MSG_NOSIGNAL))
      }
      if count == IORegionCommand.byteCount { return nil }
      guard count < 0, Errno.current == .resourceTemporarilyUnavailable else {
        return fail(.closed)
      }
      let left = deadline.remainingMilliseconds
      guard left > 0 else { return fail(.timedOut) }
      hasWaited = true
      if isInterrupted(waitingFor: CInt(POLLOUT), milliseconds: left) { return .interrupted }
    }
  }

  /// Receives a response: done, interrupted or failed.
  private func receive(
    until deadline: MonotonicTime, mayBlockInReceive: Bool
  ) -> IORegionOutcome {
    if polling != .never, let outcome = spinForResponse(until: deadline) { return outcome }
    let sleepStart = polling == .never ? nil : spin.willSleep()
    defer {
      if polling != .never {
        spin.noteActivity()
        spin.didWake(sleepStart)
      }
    }
    // Spinning may have taken all of the time, and then nothing would bound a receive that blocks.
    if mayBlockInReceive, deadline.remainingMilliseconds > 0 {
      // The socket's own timeout bounds this, and the watchdog if the server undid it.
      blockedUntil.store(deadline.nanoseconds, ordering: .relaxed)
      let outcome = receiveOnce(0)
      blockedUntil.store(0, ordering: .relaxed)
      if let outcome { return outcome }
    }
    while true {
      if let outcome = receiveOnce(CInt(MSG_DONTWAIT)) { return outcome }
      let left = deadline.remainingMilliseconds
      guard left > 0 else { return fail(.timedOut) }
      if isInterrupted(waitingFor: CInt(POLLIN), milliseconds: left) { return .interrupted }
    }
  }

  /// Looks for a response without sleeping for as long as the polling mode says.
  private func spinForResponse(until deadline: MonotonicTime) -> IORegionOutcome? {
    spin.noteActivity()
    guard spin.shouldSpin else { return nil }
    while true {
      if let outcome = receiveOnce(CInt(MSG_DONTWAIT)) {
        spin.noteHit()
        return outcome
      }
      let now = MonotonicTime.now
      if spin.isOver(at: now) || now >= deadline {
        spin.noteMiss()
        return nil
      }
      cvfu_pause()
    }
  }

  /// One receive; nil when nothing was there.
  private func receiveOnce(_ flags: CInt) -> IORegionOutcome? {
    var bytes: [5 of UInt64] = [0, 0, 0, 0, 0]
    var span = bytes.mutableSpan
    // Safety: the kernel writes at most the 40 bytes of a local variable.
    let count = unsafe span.withUnsafeMutableBytes { buffer in
      unsafe recv(socket.rawValue, buffer.baseAddress, buffer.count, flags)
    }
    if count == IORegionResponse.byteCount { return .done(UInt64(littleEndian: bytes[0])) }
    if count > 0 { return fail(.garbage) }
    if count == 0 { return fail(.lost) }
    return switch Errno.current {
    case .resourceTemporarilyUnavailable: nil
    case .interrupted: .interrupted
    default: fail(.lost)
    }
  }

  /// Waits for the socket; true when a signal came first.
  private func isInterrupted(waitingFor events: CInt, milliseconds: CInt) -> Bool {
    var state = pollfd(fd: socket.rawValue, events: Int16(events), revents: 0)
    // Safety: one element, for the time of the call.
    return unsafe poll(&state, 1, milliseconds) < 0 && Errno.current == .interrupted
  }

  /// How many accesses wait for their turn.
  var waiterCount: Int { turns.waiterCount }

  // MARK: The end

  /// Whether neither side has closed the port.
  public var isOpen: Bool {
    guard !isClosed.load(ordering: .acquiring) else { return false }
    let events = cvfu_poll_now(socket.rawValue, 0)
    return events >= 0 && events & (CInt(POLLHUP) | CInt(POLLERR)) == 0
  }

  /// Closes the port: who waits for a response fails with `lost`, and the server sees the end.
  public func close() {
    isClosed.store(true, ordering: .releasing)
    _ = shutdown(socket.rawValue, CInt(SHUT_RDWR))
  }

  private func fail(_ failure: IORegionFailure) -> IORegionOutcome {
    close()
    return .failed(failure)
  }

  /// Ends a receive that blocks beyond its time: the server holds the same socket and can change its
  /// timeout.
  func endOverdueReceive(at now: MonotonicTime) {
    let end = blockedUntil.load(ordering: .relaxed)
    // The socket's own timeout comes first where nobody touched it.
    if end != 0, now.nanoseconds > end, now.nanoseconds - end > 100_000_000 { close() }
  }

  // MARK: Socket options

  private static func option(_ name: CInt, of socket: CInt) -> CInt? {
    var value: CInt = 0
    var byteCount = socklen_t(MemoryLayout<CInt>.size)
    // Safety: the kernel writes at most the four bytes of a local variable.
    let result = unsafe getsockopt(socket, SOL_SOCKET, name, &value, &byteCount)
    return result == 0 ? value : nil
  }

  private static func limitReceive(_ socket: CInt, to timeout: Duration) throws(Errno) {
    let microseconds = timeout.clampedNanoseconds / 1000
    var time = timeval(
      tv_sec: Int(microseconds / 1_000_000), tv_usec: Int(microseconds % 1_000_000))
    // Safety: the kernel reads a local variable.
    _ = try Errno.check(
      unsafe setsockopt(
        socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size)))
  }
}
