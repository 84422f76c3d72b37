import CVFIOUserLinux

/// The device's end of an ioregionfd, served with epoll.
///
/// One receive and one send a command. After a response it waits to be told of the next command: there
/// is none yet, since its sender has only now got its answer. Posted writes are taken as long as there
/// are some.
///
/// Threads: confined to its loop.
final class SocketEndpoint: IORegionEndpoint {
  private var socket: OwnedDescriptor?
  private let raw: CInt
  private let executor: any IORegionExecutor
  /// Kept: a session that ends while a handler runs lets go of it before the handler returns.
  private let service: SocketService
  private var watch: WatchToken?

  private(set) var generation: UInt64 = 0
  /// The generation that was answered last.
  private var answered: UInt64 = 0
  private var pauseCount = 0
  private var isExecuting = false
  /// How often in a row nothing was there when the service looked.
  var misses = 0

  /// How many commands are taken before others have their turn.
  private static let limit = 64

  init(
    _ socket: consuming OwnedDescriptor, _ executor: any IORegionExecutor, _ service: SocketService
  ) {
    raw = socket.rawValue
    self.socket = consume socket
    self.executor = executor
    self.service = service
  }

  var isClosed: Bool { socket == nil }

  /// Whether an access waits for its answer.
  private var isWaiting: Bool { answered != generation }

  /// Has the loop say when commands arrive.
  func arm() throws(Errno) {
    guard watch == nil, socket != nil else { return }
    // The endpoint and its watch keep each other until `close`.
    watch = try service.loop.watch(raw, .readable) { [self] _ in becameReady() }
  }

  private func disarm() {
    guard let watch else { return }
    service.loop.unwatch(watch)
    self.watch = nil
  }

  private func rearm() {
    do throws(Errno) { try arm() } catch { fail("it cannot be watched: \(error)") }
  }

  private func becameReady() {
    // What is there stays there, and would be reported without end.
    if pauseCount > 0 || isWaiting { return disarm() }
    process()
    service.noteActivity(self)
  }

  /// Takes the commands that are there. Returns whether there was one.
  @discardableResult
  func process() -> Bool {
    guard pauseCount == 0, !isWaiting, !isExecuting, socket != nil else { return false }
    var handled = 0
    while handled < Self.limit {
      var command = cvfu_port_command()
      // Safety: the kernel writes at most the structure, a local variable.
      let count = unsafe cvfu_port_receive(raw, &command)
      guard count == IORegionCommand.byteCount else {
        if count == -Int(EAGAIN) { break }
        received(count)
        return true
      }
      handled += 1
      guard take(command) else { break }
    }
    return handled > 0
  }

  /// Carries one command out. Returns whether another one may be there.
  @inline(__always)
  private func take(_ raw: cvfu_port_command) -> Bool {
    let command: IORegionCommand
    do throws(WireError) {
      command = try IORegionCommand(
        info: raw.info, padding: raw.padding, userData: raw.user_data, offset: raw.offset,
        data: raw.data)
    } catch {
      fail("\(error.context)")
      return false
    }
    generation &+= 1
    isExecuting = true
    let execution = executor.execute(command, from: self)
    isExecuting = false
    switch execution {
    case .done(let data):
      answered = generation
      guard command.wantsResponse else { return pauseCount == 0 && socket != nil }
      send(data)
      return false
    case .later:
      if !command.wantsResponse { answered = generation }
      return !isWaiting && pauseCount == 0 && socket != nil
    case .refused(let reason):
      answered = generation
      fail("\(reason)")
      return false
    }
  }

  /// Looks into what is no command.
  private func received(_ count: Int) {
    switch count {
    case 0:
      if cvfu_has_hung_up(raw) { fail(nil) } else { fail("a command of 0 bytes") }
    case 1...: fail("a command of \(count) bytes")
    case -Int(ECONNRESET): fail(nil)
    default: fail("\(Errno(rawValue: CInt(truncatingIfNeeded: 0 - count)))")
    }
  }

  private func send(_ data: UInt64) {
    guard socket != nil else { return }
    let result = cvfu_port_respond(raw, data)
    guard result < 0 else { return }
    switch -result {
    case EPIPE, ECONNRESET: fail(nil)
    case EAGAIN: fail("its peer reads no responses")
    default: fail("\(Errno(rawValue: -result))")
    }
  }

  func respond(_ data: UInt64, generation: UInt64) {
    guard generation == self.generation, isWaiting, socket != nil else { return }
    answered = generation
    send(data)
    if !isExecuting { rearm() }
  }

  func pause() { pauseCount += 1 }

  func resume() {
    pauseCount -= 1
    if pauseCount == 0, !isWaiting { rearm() }
  }

  /// Closes because of the peer.
  private func fail(_ reason: String?) {
    guard socket != nil else { return }
    close()
    executor.endpointClosed(self, because: reason)
  }

  func close() {
    guard socket != nil else { return }
    disarm()
    socket = nil
    service.forget(self)
  }
}
