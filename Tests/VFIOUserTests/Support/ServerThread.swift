import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// A device server on a thread and a socket path of its own.
final class ServerThread: Sendable {
  let path: String
  let loop: EventLoop
  private let server = Mutex<LoopConfined<DeviceServer>?>(nil)
  private let thread = Mutex<LoopConfined<TestThread>?>(nil)

  /// A socket path that no other test uses.
  static func freshPath() -> String {
    let number = nextNumber.wrappingAdd(1, ordering: .relaxed).newValue
    return "/tmp/vfio-user-test-\(getpid())-\(number)"
  }
  private static let nextNumber = Atomic<Int>(0)

  /// - Parameter makeDevice: runs on the server's thread.
  init(
    options: DeviceOptions = DeviceOptions(), path: String = freshPath(),
    _ makeDevice: @escaping @Sendable (EventLoop) throws -> any ServedDevice
  ) throws {
    self.path = path
    loop = try EventLoop(polling: .never)
    let ready = EventBox(try EventDescriptor())
    let signal = LoopConfined(ready)
    thread.withLock {
      $0 = LoopConfined(
        TestThread { [self] in
          do {
            let host = DeviceHost(device: try makeDevice(loop), loop: loop, options: options)
            let server = DeviceServer(host: host)
            try server.listen(path: path)
            self.server.withLock { $0 = LoopConfined(server) }
            signal.value.event.signal()
            try loop.run()
          } catch { Issue.record("the server failed: \(error)") }
          self.server.withLock { $0 = nil }
        })
    }
    try #require(ready.event.wait(timeout: .seconds(60)) != nil)
  }

  /// Runs `body` on the server's thread and waits for it.
  func run(_ body: @escaping @Sendable (DeviceServer) -> Void) throws {
    let done = LoopConfined(EventBox(try EventDescriptor()))
    loop.post { [self] in
      if let server = server.withLock({ $0 }) { body(server.value) }
      done.value.event.signal()
    }
    #expect(done.value.event.wait(timeout: .seconds(60)) != nil)
  }

  /// Stops the server and joins its thread.
  func stop() {
    loop.post { [self] in
      server.withLock { $0 }?.value.stop { [loop] in loop.stop() }
    }
    thread.withLock { $0 }?.value.join()
  }
}

/// A client that waits: it can say anything, and a test can be sure that it gets what it waits for.
final class WaitingPeer {
  let peer: TestPeer
  var twin: TestPeer?
  /// Memory that is granted without a descriptor, at `base`.
  var memory = [UInt8](repeating: 0, count: 1 << 20)
  static let base: UInt64 = 0x10_0000

  init(path: String) throws {
    var result = cvfu_connect(path)
    // A crowd fills the queue of connections faster than a busy server empties it.
    for _ in 0..<60_000 where result == -EAGAIN {
      usleep(1000)
      result = cvfu_connect(path)
    }
    peer = try TestPeer(adopting: OwnedDescriptor(adopting: try Errno.checkShim(result)))
  }

  init(adopting socket: consuming OwnedDescriptor) throws { peer = try TestPeer(adopting: socket) }

  // Seen at once, even while a process that another test starts holds copies of the descriptors.
  deinit { peer.channel.shutDown() }

  /// The next message, serving the server's DMA meanwhile; nil when none comes or the stream ends.
  func next(timeout: Duration = .seconds(60), servesMemory: Bool = true) throws -> TestPeer.Message?
  {
    let deadline = MonotonicTime.now.advanced(by: timeout)
    while true {
      for lane in [peer, twin].compactMap({ $0 }) {
        _ = try lane.channel.flush()
        while let message = try lane.receive() {
          guard message.header.isCommand, servesMemory else { return message }
          try serve(message, on: lane)
        }
      }
      if peer.channel.hasPeerHungUp { return try peer.receive() }
      var lanes: [(channel: MessageChannel, wantsInput: Bool)] = [(peer.channel, true)]
      if let twin { lanes.append((twin.channel, true)) }
      guard MessageChannel.wait(for: lanes, until: deadline) else { return nil }
    }
  }

  private func serve(_ message: TestPeer.Message, on lane: TestPeer) throws {
    let access = try DMAAccess(decoding: message.payload.rawSpan)
    let start = Int(access.address.rawValue - Self.base)
    var payload = Array(message.payload.prefix(16))
    if message.header.command == .dmaRead {
      payload += memory[start..<(start + Int(access.count))]
    } else {
      memory.replaceSubrange(
        start..<(start + Int(access.count)), with: message.payload.dropFirst(16))
    }
    try lane.sendRaw(
      TestPeer.frame(.reply(to: message.header, payloadByteCount: payload.count), payload))
  }

  @discardableResult
  func call(
    _ command: Command, _ payload: [UInt8] = [], descriptors: [CInt] = []
  ) throws -> TestPeer.Message {
    let number = try peer.send(command, payload, descriptors: descriptors)
    let reply = try #require(try next(), "no reply to \(command)")
    #expect(reply.header.messageID == number)
    return reply
  }

  @discardableResult
  func call(_ message: some WireMessage, descriptors: [CInt] = []) throws -> TestPeer.Message {
    try call(type(of: message).command, message.encodedPayload(), descriptors: descriptors)
  }

  /// Negotiates, with a second socket if asked for.
  func negotiate(twin wantsTwin: Bool = false) throws {
    var capabilities = TestRig.usualCapabilities
    if wantsTwin { capabilities.twinSocket = Capabilities.TwinSocket(isSupported: true) }
    let reply = try call(VersionMessage(capabilities: capabilities))
    #expect(reply.header.failure == nil)
    if let descriptor = reply.descriptors.first {
      twin = try TestPeer(adopting: OwnedDescriptor(adopting: descriptor))
    }
    #expect((twin != nil) == wantsTwin)
  }

  /// Grants `memory`, to be reached by messages.
  func grantMemory() throws {
    let request = DMAMapRequest(
      rights: [.read, .write], address: DMAAddress(Self.base), byteCount: UInt64(memory.count))
    #expect(try call(request).header.failure == nil)
  }

  /// Sends a whole frame and waits as long as the server does not take it, reading nothing: what a
  /// client does whose socket blocks.
  func sendStubbornly(_ command: Command, _ payload: [UInt8]) throws -> UInt16 {
    let number = try peer.send(command, payload)
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while try !peer.channel.flush() {
      var state = pollfd(fd: peer.channel.socket.rawValue, events: Int16(POLLOUT), revents: 0)
      try #require(
        poll(&state, 1, deadline.remainingMilliseconds) == 1, "the server does not read")
    }
    return number
  }

  func read(_ region: UInt32, _ offset: UInt64, _ count: UInt32) throws -> [UInt8] {
    let reply = try call(.regionRead, TestPeer.readPayload(region, offset, count))
    try #require(reply.header.failure == nil)
    return Array(reply.payload.dropFirst(RegionAccess.fixedByteCount))
  }

  func write(_ region: UInt32, _ offset: UInt64, _ data: [UInt8]) throws {
    let reply = try call(.regionWrite, TestPeer.writePayload(region, offset, data))
    #expect(reply.header.failure == nil)
  }
}

/// A device of one region of a megabyte whose accesses a test answers.
final class ScriptedDevice: ServedDevice {
  typealias Write = (ScriptedDevice, RegionOffset, [UInt8], AccessContext) throws(Errno) -> Void
  private let onWrite: Write
  var services: DeviceServices?
  var bytes = [UInt8](repeating: 0, count: 16)

  private final class Handler: RegionHandler {
    unowned let device: ScriptedDevice
    init(_ device: ScriptedDevice) { self.device = device }

    func read(
      at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      for index in 0..<min(16, target.byteCount) {
        try? target.store(device.bytes[index], at: index)
      }
    }

    func write(
      at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
    ) throws(Errno) {
      try device.onWrite(device, offset, [UInt8](copying: source), access)
    }
  }

  init(onWrite: @escaping Write) { self.onWrite = onWrite }

  let layout = DeviceLayout(
    flags: .reset, regions: [RegionLayout(byteCount: 1 << 20, rights: [.read, .write])],
    interrupts: [])
  func region(at index: Int) -> Region? { try? Region(byteCount: 1 << 20, handler: Handler(self)) }
  func start(_ services: DeviceServices) { self.services = services }
  func clientConnected() {}
  func clientDisconnected() {}
  func reset(_ kind: ResetKind) {}
  func memoryMapped(_ range: DMARange) {}
  func memoryUnmapped(_ range: DMARange) {}
  func resume() {}
  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence { .done }
}
