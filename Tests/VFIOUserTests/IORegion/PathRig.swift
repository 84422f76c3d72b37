import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// A device with paths, its session and a raw client, all on the test's thread.
final class PathRig {
  let loop: EventLoop
  let other: EventLoop
  let device: PathDevice
  let host: DeviceHost
  let log = LogKeeper()
  private(set) var session: Session
  private(set) var peer: TestPeer

  init(
    _ engine: ServingEngine = .epoll, _ paths: [RegionPath],
    capabilities: Capabilities? = PathRig.capabilities(), options: DeviceOptions = DeviceOptions()
  ) throws {
    loop = try EventLoop(polling: .never)
    other = try EventLoop(polling: .never)
    device = PathDevice(paths, other: other)
    var options = options
    options.ioRegionEngine = engine.engine
    host = DeviceHost(device: device, loop: loop, options: options, logger: log.logger)
    (session, peer) = try Self.connect(host)
    try negotiate(capabilities)
  }

  deinit {
    device.holdsQuiesce = false
    session.close()
    try? work()
  }

  static func capabilities(
    _ extensions: [Capabilities.Extension] = [], descriptors: UInt64 = 253
  ) -> Capabilities {
    var capabilities = TestRig.usualCapabilities
    capabilities.maximumMessageDescriptorCount = descriptors
    if !extensions.isEmpty {
      capabilities.extensions = Dictionary(
        uniqueKeysWithValues: extensions.map { ($0.rawValue, .bool(true)) })
    }
    return capabilities
  }

  private static func connect(_ host: DeviceHost) throws -> (Session, TestPeer) {
    let pair = try SocketPair()
    let peer = try TestPeer(adopting: pair.second.duplicate())
    return (try host.makeSession(adopting: pair.first.duplicate()), peer)
  }

  func reconnect() throws {
    (session, peer) = try Self.connect(host)
    try negotiate(Self.capabilities())
  }

  private func negotiate(_ capabilities: Capabilities?) throws {
    try peer.send(VersionMessage(capabilities: capabilities))
    try work()
    let reply = try #require(try peer.receive())
    try #require(reply.header.failure == nil)
  }

  /// Lets session and loops do what they can.
  func work() throws {
    for _ in 0..<8 {
      while session.process() == .more {}
      try loop.runOnce(timeout: .zero)
      try other.runOnce(timeout: .zero)
    }
  }

  func call(_ command: Command, _ payload: [UInt8] = []) throws -> TestPeer.Message {
    let number = try peer.send(command, payload)
    try work()
    let reply = try #require(try peer.receive(), "no reply to \(command)")
    #expect(reply.header.messageID == number)
    return reply
  }

  /// What a client learns of a region, with its descriptors.
  struct Answer {
    var entries: [RegionIODescriptor]
    var ports: [TestPort]
    var neededByteCount: Int
    var isIncomplete: Bool
  }

  /// Asks for a region's descriptors.
  func ask(_ index: UInt32 = 0, limit: UInt32 = 1 << 20) throws -> Answer {
    let request = RegionIODescriptorsRequest(index: index, argumentSize: limit)
    let reply = try call(.deviceGetRegionIODescriptors, request.encodedPayload())
    try #require(reply.header.failure == nil)
    let message = try RegionIODescriptors(decoding: reply.payload.rawSpan)
    try work()
    return Answer(
      entries: message.entries,
      ports: reply.descriptors.map { TestPort(OwnedDescriptor(adopting: $0)) },
      neededByteCount: message.neededByteCount, isIncomplete: message.isIncomplete)
  }

  /// Has a command carried out and returns the response's data; nil when none comes.
  func perform(_ command: IORegionCommand, on port: TestPort) throws -> UInt64? {
    try port.send(command)
    try work()
    guard let response = port.response() else { return nil }
    return try IORegionResponse(decoding: response.rawSpan).data
  }

  func read(
    _ offset: UInt64, _ byteCount: Int, _ userData: UInt64, on port: TestPort
  ) throws -> UInt64? {
    try perform(.read(at: offset, byteCount: byteCount, userData: userData), on: port)
  }
}

/// A client's end of a descriptor: it can send anything.
final class TestPort {
  private let socket: OwnedDescriptor
  init(_ socket: consuming OwnedDescriptor) { self.socket = socket }

  var rawValue: CInt { socket.rawValue }

  func send(_ bytes: [UInt8], flags: CInt = 0) throws {
    let count = bytes.withUnsafeBytes {
      unsafe CVFIOUserLinux.send(
        socket.rawValue, $0.baseAddress, $0.count,
        flags | CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
    }
    if count < 0 { throw Errno.current }
  }

  func send(_ command: IORegionCommand) throws {
    try send([UInt8](byteCount: IORegionCommand.byteCount) { try? command.encode(into: &$0) })
  }

  /// What has arrived; nil when nothing has, or the other end is closed.
  func response() -> [UInt8]? {
    var bytes = [UInt8](repeating: 0xa5, count: 64)
    let count = bytes.withUnsafeMutableBytes {
      unsafe recv(socket.rawValue, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT))
    }
    return count > 0 ? Array(bytes.prefix(count)) : nil
  }

  /// Waits for a response.
  func waitForResponse() throws -> UInt64 {
    var state = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
    try #require(poll(&state, 1, 60_000) == 1)
    let bytes = try #require(response())
    return try IORegionResponse(decoding: bytes.rawSpan).data
  }

  /// Whether the device's end is closed.
  var isClosed: Bool { cvfu_has_hung_up(socket.rawValue) }

  /// Signals it, as an eventfd.
  func signal() {
    var one: UInt64 = 1
    _ = unsafe write(socket.rawValue, &one, 8)
  }
}

extension RegionPath {
  /// An ioregionfd.
  static func region(
    _ offset: UInt64, _ byteCount: UInt64, group: Int = 0, posts: Bool = false
  ) -> RegionPath {
    RegionPath(
      offset: RegionOffset(offset), byteCount: byteCount, kind: .ioregionfd(postsWrites: posts),
      descriptorGroup: group)
  }

  /// An ioeventfd.
  static func event(_ offset: UInt64, _ byteCount: UInt64, matching: UInt64? = nil) -> RegionPath {
    RegionPath(
      offset: RegionOffset(offset), byteCount: byteCount, kind: .ioeventfd(matching: matching))
  }
}
