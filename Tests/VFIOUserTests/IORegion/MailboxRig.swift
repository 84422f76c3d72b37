import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// A mailbox between this process's threads: a device's end on a loop of its own, and a monitor's port.
/// Threads: any may access; one makes and ends it.
final class MailboxRig: @unchecked Sendable {
  /// What lives on the device's loop.
  final class Inside: @unchecked Sendable {
    var executor: MailboxExecutor?
    var endpoint: MailboxEndpoint?
    var violation: String?
    var hasEnded = false
  }

  let thread: LoopThread
  let inside = Inside()
  let store: MailboxStore
  let port: MailboxPort
  /// The server's end of the session, as far as the port is concerned.
  private var session: OwnedDescriptor?

  init(
    device: PollingMode = .adaptive, monitor: PollingMode = .adaptive,
    timeout: Duration = .seconds(60)
  ) throws {
    thread = try LoopThread(name: "mailbox", polling: device)
    store = try MailboxStore()
    let pair = try SocketPair()
    session = try pair.first.duplicate()
    let boxes = try store.monitorDescriptors().map { $0.take()?.release() ?? -1 }
    port = try MailboxPort(
      memory: OwnedDescriptor(adopting: boxes[0]),
      commandEvent: OwnedDescriptor(adopting: boxes[1]),
      responseEvent: OwnedDescriptor(adopting: boxes[2]),
      liveness: .init(
        descriptor: try pair.second.duplicate().release(), owner: LivenessOwner()),
      timeout: timeout, polling: monitor)
    let store = store
    try onLoop { inside, loop in
      let executor = MailboxExecutor()
      inside.executor = executor
      executor.onClosed = {
        inside.violation = $0
        inside.hasEnded = true
      }
      inside.endpoint = try MailboxEndpoint(store, on: loop, for: executor)
    }
  }

  private final class LivenessOwner: Sendable {}

  /// Runs something on the device's loop and waits for it.
  @discardableResult
  func onLoop<Value: Sendable>(
    _ body: @escaping @Sendable (Inside, EventLoop) throws -> Value
  ) throws -> Value {
    let result = ResultBox<Value>()
    let done = try EventDescriptorBox(EventDescriptor())
    thread.loop.post { [inside, loop = thread.loop] in
      result.value = Result { try body(inside, loop) }
      done.event.signal()
    }
    try #require(done.event.wait(timeout: .seconds(60)) != nil)
    return try #require(result.value).get()
  }

  private final class ResultBox<Value>: @unchecked Sendable {
    var value: Result<Value, any Error>?
  }

  /// The server dies: its end of the session is closed.
  func endSession() { session = nil }

  /// Waits until something holds on the device's loop.
  func eventually(_ condition: @escaping @Sendable (Inside) -> Bool) throws {
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while try !onLoop({ inside, _ in condition(inside) }) {
      try #require(MonotonicTime.now < deadline)
      usleep(200)
    }
  }

  deinit {
    try? onLoop { inside, _ in
      inside.endpoint?.close()
      inside.endpoint = nil
      inside.executor = nil
    }
    thread.end()
  }

  // MARK: Accesses

  func read(_ offset: UInt64, _ byteCount: Int = 4) -> IORegionOutcome {
    port.finish(.read(at: offset, byteCount: byteCount, userData: MailboxExecutor.userData))
  }

  @discardableResult
  func write(
    _ value: UInt64, _ offset: UInt64, _ byteCount: Int = 4, isPosted: Bool = false
  ) -> IORegionOutcome {
    port.finish(
      .write(
        value, at: offset, byteCount: byteCount, userData: MailboxExecutor.userData,
        isPosted: isPosted))
  }
}

extension IORegionPort {
  /// Carries an access out, whatever interrupts it.
  func finish(_ command: IORegionCommand) -> IORegionOutcome {
    var progress = IORegionProgress()
    while true {
      let outcome = perform(command, &progress)
      if outcome != .interrupted { return outcome }
    }
  }
}

/// Memory of 1 KiB, and places that answer later.
final class MailboxExecutor: IORegionExecutor {
  static let userData: UInt64 = 0x7766_5544_3322_1100
  /// Accesses from here on are deferred.
  static let deferred: UInt64 = 0x8000
  /// Accesses from here on take some time.
  static let slow: UInt64 = 0x9000

  var bytes = [UInt8](repeating: 0, count: 1024)
  var commands: [IORegionCommand] = []
  var waiting: [UInt64] = []
  var onClosed: (String?) -> Void = { _ in }

  func endpointClosed(_ endpoint: any IORegionEndpoint, because reason: String?) {
    onClosed(reason)
  }

  func execute(
    _ command: IORegionCommand, from endpoint: any IORegionEndpoint
  ) -> IORegionExecution {
    guard command.userData == Self.userData else { return .refused("unknown user data") }
    commands.append(command)
    if command.offset >= Self.slow {
      usleep(200)
      return .done(command.offset)
    }
    if command.offset >= Self.deferred {
      waiting.append(endpoint.generation)
      return .later
    }
    let place = Int(command.offset)
    guard place + command.accessByteCount <= bytes.count else { return .refused("past the end") }
    if command.operation == .write {
      for index in 0..<command.accessByteCount {
        bytes[place + index] = UInt8(truncatingIfNeeded: command.data >> UInt64(8 * index))
      }
      return .done(0)
    }
    var word: UInt64 = 0
    for index in 0..<command.accessByteCount {
      word |= UInt64(bytes[place + index]) << UInt64(8 * index)
    }
    return .done(word)
  }
}

/// What the memory should hold, kept by the one who accesses it.
struct MailboxModel {
  var bytes = [UInt8](repeating: 0, count: 1024)

  mutating func write(_ value: UInt64, _ offset: Int, _ byteCount: Int) {
    for index in 0..<byteCount {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }

  func read(_ offset: Int, _ byteCount: Int) -> UInt64 {
    (0..<byteCount).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
  }
}
