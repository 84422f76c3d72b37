import CVFIOUserLinux
import Glibc
import Testing

@testable import VFIOUser

@Suite("Device servers") struct DeviceServerTests {
  private static func start(
    _ options: DeviceOptions = DeviceOptions(), path: String = ServerThread.freshPath()
  ) throws -> ServerThread {
    try ServerThread(options: options, path: path) { _ in try TestDevice() }
  }

  private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  @Test("V10: a second client gets EBUSY to its VERSION while the first is served")
  func secondClient() throws {
    let server = try Self.start()
    defer { server.stop() }
    let first = try WaitingPeer(path: server.path)
    try first.negotiate()
    for _ in 0..<20 {
      let second = try WaitingPeer(path: server.path)
      try second.peer.send(VersionMessage(capabilities: nil))
      let reply = try #require(try second.next())
      #expect(reply.header.failure == .resourceBusy)
      #expect(try second.next() == nil)
      #expect(try first.read(0, 0, 1) == [0])
    }
  }

  @Test("V10: a second client is served as soon as the first has hung up, whatever it left behind")
  func takeover() throws {
    let server = try Self.start()
    defer { server.stop() }
    for round in UInt8(1)...50 {
      let client = try WaitingPeer(path: server.path)
      try client.negotiate()
      #expect(try client.read(0, 0, 1) == [round - 1])
      try client.write(0, 0, [round])
      // An access that the device never answers, and commands behind it.
      try client.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
      try client.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    }
  }

  @Test("V11: a client that dies behind an access in progress costs no CPU and is let go at once")
  func hangupBehindDeferral() throws {
    let server = try Self.start()
    defer { server.stop() }
    do {
      let client = try WaitingPeer(path: server.path)
      try client.negotiate()
      try client.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
      try client.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    }
    let isVacant = LoopConfined(EventBox(try EventDescriptor()))
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while MonotonicTime.now < deadline {
      try server.run { if !$0.host.isOccupied { isVacant.value.event.signal() } }
      if isVacant.value.event.consume() != nil { return }
      usleep(1000)
    }
    Issue.record("the dead client is still served")
  }

  @Test("A client that connects and says nothing is refused nobody's place for long")
  func silentIntruder() throws {
    let server = try Self.start()
    defer { server.stop() }
    let first = try WaitingPeer(path: server.path)
    try first.negotiate()
    let crowd = try (0..<40).map { _ in try WaitingPeer(path: server.path) }
    #expect(try first.read(0, 0, 1) == [0])
    // Those beyond a handful are turned away without an answer.
    #expect(try crowd[39].next() == nil)
  }

  @Test("A stale socket file is replaced, a live socket and any other file are left alone")
  func socketFiles() throws {
    let path = ServerThread.freshPath()
    defer { unlink(path) }
    let stale = try Errno.checkShim(cvfu_listen(path, 1))
    close(stale)
    #expect(Self.exists(path))
    let server = try Self.start(path: path)
    try WaitingPeer(path: path).negotiate()

    let loop = try EventLoop(polling: .never)
    let rival = DeviceServer(host: DeviceHost(device: try TestDevice(), loop: loop))
    func refusal(_ path: String) -> Errno? {
      do throws(ServerError) {
        try rival.listen(path: path)
        return nil
      } catch { return error.errno }
    }
    #expect(refusal(path) == .addressInUse)
    try WaitingPeer(path: path).negotiate()
    server.stop()
    #expect(!Self.exists(path))

    let file = open(path, O_CREAT | O_WRONLY, 0o600)
    write(file, "precious", 8)
    close(file)
    #expect(refusal(path) == .fileExists)
    #expect(Self.exists(path))
    #expect(refusal("/nonexistent-folder/socket") == .noSuchFileOrDirectory)
    #expect(refusal(String(repeating: "x", count: 200)) == .fileNameTooLong)
    #expect(refusal("") == .invalidArgument)
  }

  @Test("E20: a server that stops removes its socket file, but nobody else's")
  func foreignFile() throws {
    let server = try Self.start()
    unlink(server.path)
    let other = try Errno.checkShim(cvfu_listen(server.path, 1))
    server.stop()
    #expect(Self.exists(server.path))
    close(other)
    unlink(server.path)
  }

  @Test("E20: stopping ends the client's connection")
  func stopWithClient() throws {
    let server = try Self.start()
    let client = try WaitingPeer(path: server.path)
    try client.negotiate()
    server.stop()
    #expect(try client.next() == nil)
    #expect(client.peer.isClosed)
  }

  // MARK: Inherited descriptors

  /// A server under a loop that the test turns itself.
  private struct Inherited {
    let loop: EventLoop
    let server: DeviceServer
    private final class Count { var value = 0 }
    private let exhausted = Count()
    var exhaustions: Int { exhausted.value }

    init() throws {
      loop = try EventLoop(polling: .never)
      server = DeviceServer(host: DeviceHost(device: try TestDevice(), loop: loop))
      server.onExhausted = { [exhausted] in exhausted.value += 1 }
    }

    func turn() throws {
      for _ in 0..<8 { try loop.runOnce(timeout: .zero) }
    }
  }

  @Test("E18: an inherited connection is served, and its end is reported once")
  func inheritedConnection() throws {
    let inherited = try Inherited()
    let pair = try SocketPair()
    try inherited.server.adopt(try pair.first.duplicate())
    var peer: TestPeer? = try TestPeer(adopting: pair.second.duplicate())
    _ = consume pair
    try peer?.send(VersionMessage(capabilities: nil))
    try inherited.turn()
    #expect(try peer?.receive()?.header.failure == nil)
    #expect(inherited.exhaustions == 0)
    peer?.channel.shutDown()
    peer = nil
    try inherited.turn()
    #expect(inherited.exhaustions == 1)
    #expect(!inherited.server.host.isOccupied)
  }

  @Test("E18: an inherited listening socket serves one client after the other")
  func inheritedListener() throws {
    let path = ServerThread.freshPath()
    let raw = try Errno.checkShim(cvfu_listen(path, 4))
    let inherited = try Inherited()
    try inherited.server.adopt(OwnedDescriptor(adopting: raw))
    for _ in 0..<3 {
      let peer = try TestPeer(
        adopting: OwnedDescriptor(adopting: try Errno.checkShim(cvfu_connect(path))))
      try peer.send(VersionMessage(capabilities: nil))
      try inherited.turn()
      #expect(try peer.receive()?.header.failure == nil)
    }
    try inherited.turn()
    #expect(inherited.exhaustions == 0)
    inherited.server.stop {}
    #expect(Self.exists(path), "whoever made the file removes it")
    unlink(path)
  }

  @Test("E18: an inherited descriptor that is no socket is refused with a sentence")
  func inheritedFile() throws {
    let inherited = try Inherited()
    let event = try EventDescriptor()
    let raw = try Errno.checkShim(cvfu_duplicate(event.rawValue))
    do throws(ServerError) {
      try inherited.server.adopt(OwnedDescriptor(adopting: raw))
      Issue.record("it was adopted")
    } catch { #expect("\(error)".contains("no socket")) }
    #expect(openCopies(of: event.rawValue) == 1)
  }

  // MARK: No descriptor left

  @Test("E17: a client that finds no descriptor free waits, costs one warning, and is served later")
  func noDescriptorLeft() async {
    await #expect(processExitsWith: .success) {
      let log = LogKeeper()
      let loop = try EventLoop(polling: .never)
      let host = DeviceHost(device: try TestDevice(), loop: loop)
      let server = DeviceServer(host: host, logger: log.logger)
      let path = ServerThread.freshPath()
      try server.listen(path: path)
      let deadline = MonotonicTime.now.advanced(by: .seconds(60))
      /// Turns the loop until it is so.
      func turn(until isSo: () throws -> Bool) throws {
        while try !isSo() {
          try #require(MonotonicTime.now < deadline)
          try loop.runOnce(timeout: .milliseconds(5))
        }
      }
      let peer = try TestPeer(
        adopting: OwnedDescriptor(adopting: try Errno.checkShim(cvfu_connect(path))))
      try peer.send(VersionMessage(capabilities: nil))

      // Nothing is free below `lowest`, and nothing above it may be used.
      var lowest = dup(peer.channel.socket.rawValue)
      while lowest < 128 { lowest = dup(peer.channel.socket.rawValue) }
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let usual = limit
      limit.rlim_cur = rlim_t(lowest + 1)
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      // Several times: the listener is left alone, and looked after again.
      for _ in 0..<3 {
        try turn { !server.isListening }
        try turn { server.isListening }
      }
      #expect(log.all.count == 1)
      #expect(!host.isOccupied)

      limit = usual
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      try turn { host.isOccupied }
      var reply: TestPeer.Message?
      try turn {
        reply = try peer.receive()
        return reply != nil
      }
      #expect(reply?.header.failure == nil)
      #expect(log.all.filter { $0.hasPrefix("warning") }.count == 1)
      server.stop {}
      #expect(!server.isListening)
    }
  }

  // MARK: Leaks

  private static func mappingCount() throws -> Int {
    let file = OwnedDescriptor(adopting: open("/proc/self/maps", O_RDONLY))
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    var lines = 0
    var tail = ""
    while true {
      let count = bytes.withUnsafeMutableBytes {
        Glibc.read(file.rawValue, $0.baseAddress, $0.count)
      }
      guard count > 0 else { return lines }
      tail += String(decoding: bytes.prefix(count), as: UTF8.self)
      let parts = tail.split(separator: "\n", omittingEmptySubsequences: false)
      lines += parts.dropLast().filter { $0.contains("memfd:leak") }.count
      tail = String(parts.last ?? "")
    }
  }

  @Test("V11: a hundred clients with memory, interrupts and a second socket leave nothing behind")
  func reconnects() async {
    await #expect(processExitsWith: .success) {
      let server = try Self.start()
      let file = try SharedMemory(byteCount: 16 * 4096, name: "leak")
      func visit() throws {
        let client = try WaitingPeer(path: server.path)
        try client.negotiate(twin: true)
        let event = try EventDescriptor()
        for index in 0..<UInt64(8) {
          let map = DMAMapRequest(
            rights: [.read, .write], fileOffset: (15 - 2 * index) << 12,
            address: DMAAddress(index << 20), byteCount: 4096)
          #expect(try client.call(map, descriptors: [file.rawDescriptor]).header.failure == nil)
        }
        let irqs = SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 0, count: 2)
        #expect(
          try client.call(irqs, descriptors: [event.rawValue, event.rawValue]).header.failure == nil
        )
        let resample = SetIRQs(
          action: .unmask, selection: .eventfds, index: 0, start: 0, count: 1)
        #expect(try client.call(resample, descriptors: [event.rawValue]).header.failure == nil)
      }
      for _ in 0..<3 { try visit() }
      /// Waits until the last client has gone, and counts.
      func counts() throws -> [Int] {
        let vacant = try WaitingPeer(path: server.path)
        try vacant.negotiate()
        return [TestRig.openDescriptorCount, try Self.mappingCount()]
      }
      let before = try counts()
      #expect(before[1] == 1)
      for _ in 0..<100 { try visit() }
      #expect(try counts() == before)
      server.stop()
    }
  }
}
