import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// Servers that come and go, and what a client that outlives them says about it.
final class ReconnectRig: Sendable {
  typealias Script = @Sendable (FakeServer.End) throws -> Void

  /// What answers the next connection.
  enum Next: Sendable {
    /// Nobody.
    case nothing
    /// A server's socket.
    case path(String)
    /// A script each, in turn; nobody afterwards.
    case scripts([Script])
  }

  private let next = Mutex<Next>(.nothing)
  private let threads = Mutex<[ScriptThread]>([])
  private let last = Mutex<OwnedDescriptorHolder?>(nil)
  private let heard = Mutex<[ConnectionEvent]>([])
  private let change = ConditionLock()

  /// A thread that one list owns, which is guarded.
  private final class ScriptThread: @unchecked Sendable {
    private let thread: TestThread
    init(_ thread: TestThread) { self.thread = thread }
    func join() { thread.join() }
  }

  init(_ next: Next = .nothing) { set(next) }

  func set(_ next: Next) { self.next.withLock { $0 = next } }

  func connect(
    _ policy: ReconnectPolicy = .quick, timeout: Duration = .seconds(60),
    _ configure: (inout ClientOptions) -> Void = { _ in },
    restoring: @escaping @Sendable (DeviceClient) throws(ClientError) -> Void = { _ in }
  ) throws -> ReconnectingClient {
    var options = ClientOptions()
    options.timeout = timeout
    configure(&options)
    return try ReconnectingClient.connect(
      options: options, policy: policy, onEvent: { [weak self] in self?.note($0) },
      restoring: restoring
    ) { [self] () throws(ClientError) in try open() }
  }

  private func open() throws(ClientError) -> OwnedDescriptor {
    let nobody = ClientError(.connectFailed, .connectionRefused, "nobody is there")
    enum Found: Sendable {
      case path(String)
      case script(Script)
    }
    let found = next.withLock { next -> Found? in
      switch next {
      case .nothing: return nil
      case .path(let path): return .path(path)
      case .scripts(let scripts):
        guard let first = scripts.first else { return nil }
        next = .scripts(Array(scripts.dropFirst()))
        return .script(first)
      }
    }
    do {
      let socket: OwnedDescriptor
      switch found {
      case nil: throw nobody
      case .path(let path):
        socket = try DeviceClient.openSocket(path, timeout: .seconds(60))
      case .script(let script):
        let pair = try SocketPair()
        let server = try pair.second.duplicate().release()
        socket = try pair.first.duplicate()
        let thread = TestThread {
          do { try script(try FakeServer.End(adopting: OwnedDescriptor(adopting: server))) } catch {
            Issue.record("a script failed: \(error)")
          }
        }
        let kept = ScriptThread(thread)
        threads.withLock { $0.append(kept) }
      }
      let copy = OwnedDescriptorHolder(try socket.duplicate())
      last.withLock { $0 = copy }
      return socket
    } catch let error as ClientError {
      throw error
    } catch {
      throw ClientError(.systemCall, error as? Errno ?? .ioError, "no socket")
    }
  }

  /// Ends the last connection, as a broken wire would.
  func cut() { last.withLock { $0 }?.shutDown() }

  /// Waits until every script has ended.
  func join() {
    last.withLock { $0 = nil }
    while let thread = threads.withLock({ $0.popLast() }) { thread.join() }
  }

  // MARK: Events

  private func note(_ event: ConnectionEvent) {
    heard.withLock { $0.append(event) }
    change.withLock { change.broadcast() }
  }

  var events: [ConnectionEvent] { heard.withLock { $0 } }

  /// How often the connection was restored.
  var restorationCount: Int {
    events.count { if case .restored = $0 { true } else { false } }
  }

  /// Waits until `condition` holds for the events, at most a minute.
  func waits(_ condition: ([ConnectionEvent]) -> Bool) -> Bool {
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    change.lock()
    defer { change.unlock() }
    while !condition(events) {
      guard change.wait(until: deadline) else { return condition(events) }
    }
    return true
  }

  func waitsForLoss() -> Bool {
    waits { $0.contains { if case .lost = $0 { true } else { false } } }
  }

  func waitsForRestorations(_ count: Int = 1) -> Bool {
    waits { $0.count { if case .restored = $0 { true } else { false } } >= count }
  }

  func waitsForTheEnd() -> ClientError? {
    _ = waits { $0.contains { if case .givenUp = $0 { true } else { false } } }
    for case .givenUp(let error) in events { return error }
    return nil
  }
}

extension ReconnectPolicy {
  /// Short waits between attempts, and enough time for a busy machine.
  static var quick: ReconnectPolicy {
    var policy = ReconnectPolicy.reconnect(within: .seconds(60))
    policy.firstDelay = .milliseconds(2)
    policy.longestDelay = .milliseconds(20)
    return policy
  }
}

extension FakeServer.End {
  /// What a scripted device is.
  struct Device: Sendable {
    var info = FakeServer.info
    var regionByteCounts: [UInt64] = [4096, 0]
    var interruptCount: UInt32 = 4
    var configuration = [UInt8](repeating: 0, count: 256)

    static var pci: Device {
      var device = Device()
      device.info = DeviceInfo(flags: [.reset, .pci], regionCount: 9, interruptTypeCount: 5)
      device.regionByteCounts = [4096, 0, 0, 0, 0, 0, 0, 256, 0]
      device.configuration.replaceSubrange(0..<4, with: [0x34, 0x12, 0xe8, 0x11])
      return device
    }
  }

  /// Greets, and answers everything with success until a command of `kind` comes, which is returned.
  ///
  /// A read of configuration space counts as the questions of the beginning while `answersConfiguration`.
  func serve(
    _ device: Device = Device(), until kind: Command?, answersConfiguration: Bool = true,
    isGreeting: Bool = true, timeout: Duration = .seconds(60),
    noting: (TestPeer.Message) throws -> Void = { _ in }
  ) throws -> TestPeer.Message? {
    if isGreeting { try greet(device.info) }
    while let message = try next(timeout: timeout) {
      let payload = message.payload
      if message.header.command == .regionRead, answersConfiguration, payload[8] == 7 {
        let access = try RegionAccess.readRequest(payload.rawSpan, limit: 1 << 20)
        let start = Int(access.offset.rawValue)
        let data = Array(device.configuration[start..<(start + Int(access.count))])
        try reply(to: message, Array(payload.prefix(12)) + payload[12..<16] + data)
        continue
      }
      if message.header.command == kind { return message }
      try noting(message)
      try answer(message, device)
    }
    return nil
  }

  private func answer(_ message: TestPeer.Message, _ device: Device) throws {
    let payload = message.payload
    guard message.header.wantsReply else { return }
    switch message.header.command {
    case .deviceGetRegionInfo:
      let request = try RegionInfoRequest(decoding: payload.rawSpan)
      let count = device.regionByteCounts
      let info = RegionInfo(
        index: request.index, flags: [.read, .write],
        byteCount: Int(request.index) < count.count ? count[Int(request.index)] : 0)
      try reply(to: message, info.encodedPayload())
    case .deviceGetInfo: try reply(to: message, device.info.encodedPayload())
    case .deviceGetRegionIODescriptors:
      try reply(to: message, RegionIODescriptors(index: 0, entries: []).encodedPayload())
    case .deviceGetIRQInfo:
      let request = try IRQInfoRequest(decoding: payload.rawSpan)
      try reply(
        to: message,
        IRQInfo(index: request.index, flags: [.eventfd, .maskable], count: device.interruptCount)
          .encodedPayload())
    case .regionRead:
      let access = try RegionAccess.readRequest(payload.rawSpan, limit: 1 << 20)
      try reply(
        to: message,
        FakeServer.readReply(message, [UInt8](repeating: 0x5a, count: Int(access.count))))
    case .regionWrite: try reply(to: message, Array(payload.prefix(16)))
    case .dmaUnmap: try reply(to: message, payload)
    default: try reply(to: message)
    }
    for raw in message.descriptors { _ = OwnedDescriptor(adopting: raw) }
  }
}
