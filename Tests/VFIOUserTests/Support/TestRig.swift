import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// A device host and a raw peer on one thread: the test decides when the session works.
final class TestRig {
  let loop: EventLoop
  let device: TestDevice
  let host: DeviceHost
  var session: Session
  var peer: TestPeer
  var end: SessionEnd?

  init(
    options: DeviceOptions = DeviceOptions(), remoteLoop: EventLoop? = nil,
    flags: DeviceFlags = .reset, negotiate: Bool = true,
    capabilities: Capabilities? = TestRig.usualCapabilities
  ) throws {
    loop = try EventLoop(polling: .never)
    device = try TestDevice(remoteLoop: remoteLoop)
    device.flags = flags
    host = DeviceHost(device: device, loop: loop, options: options)
    (session, peer) = try Self.connect(host)
    watchEnd()
    if negotiate { try self.negotiate(capabilities) }
  }

  /// A session and its host keep each other alive until it ends.
  deinit {
    device.holdsQuiesce = false
    session.onEnd = nil
    session.close()
  }

  static var usualCapabilities: Capabilities {
    var capabilities = Capabilities()
    capabilities.maximumMessageDescriptorCount = 16
    capabilities.maximumTransferByteCount = 1 << 20
    capabilities.maximumDMAMapCount = 65535
    capabilities.pageSizes = 4096
    capabilities.supportsWriteMultiple = true
    return capabilities
  }

  private static func connect(_ host: DeviceHost) throws -> (Session, TestPeer) {
    var ends: [CInt] = [-1, -1]
    _ = ends.withUnsafeMutableBufferPointer { unsafe cvfu_socket_pair($0.baseAddress) }
    let peer = try TestPeer(adopting: OwnedDescriptor(adopting: ends[1]))
    return (try host.makeSession(adopting: OwnedDescriptor(adopting: ends[0])), peer)
  }

  private func watchEnd() { session.onEnd = { [unowned self] in end = $0 } }

  /// Closes the client's end.
  func hangUp() throws {
    // A process that another test starts holds a copy of every descriptor for a moment: closing ours
    // alone would be seen late.
    peer.channel.shutDown()
    peer = try TestPeer(adopting: SocketPair().first.duplicate())
    try work()
  }

  /// Connects again after the first connection has ended.
  func reconnect(
    _ capabilities: Capabilities? = TestRig.usualCapabilities, negotiate: Bool = true
  ) throws {
    (session, peer) = try Self.connect(host)
    end = nil
    watchEnd()
    if negotiate { try self.negotiate(capabilities) }
  }

  func negotiate(_ capabilities: Capabilities?) throws {
    try peer.send(VersionMessage(capabilities: capabilities))
    let reply = try #require(try turn())
    try #require(reply.header.failure == nil)
  }

  /// Lets the session work until it waits, and the loop run what was posted.
  func work() throws {
    for _ in 0..<8 {
      while session.process() == .more {}
      try loop.runOnce(timeout: .zero)
    }
  }

  /// Works until `isDone`, where other threads have a part in it.
  func work(until isDone: () throws -> Bool) throws {
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while try !isDone() {
      try #require(MonotonicTime.now < deadline, "it did not come about")
      while session.process() == .more {}
      try loop.runOnce(timeout: .milliseconds(5))
    }
  }

  /// Works and returns the next message for the client, if there is one.
  func turn() throws -> TestPeer.Message? {
    try work()
    return try peer.receive()
  }

  /// Sends a command and returns its reply, which must have its number.
  func call(
    _ command: Command, _ payload: [UInt8] = [], descriptors: [CInt] = []
  ) throws -> TestPeer.Message {
    let number = try peer.send(command, payload, descriptors: descriptors)
    let reply = try #require(try turn(), "no reply to \(command)")
    #expect(reply.header.messageID == number)
    #expect(reply.header.command == command)
    #expect(reply.header.isReply)
    return reply
  }

  func call(_ message: some WireMessage, descriptors: [CInt] = []) throws -> TestPeer.Message {
    try call(type(of: message).command, message.encodedPayload(), descriptors: descriptors)
  }

  func read(_ region: UInt32, _ offset: UInt64, _ count: UInt32) throws -> [UInt8] {
    let reply = try call(.regionRead, TestPeer.readPayload(region, offset, count))
    try #require(reply.header.failure == nil)
    return Array(reply.payload.dropFirst(RegionAccess.fixedByteCount))
  }

  func write(_ region: UInt32, _ offset: UInt64, _ data: [UInt8]) throws {
    let reply = try call(.regionWrite, TestPeer.writePayload(region, offset, data))
    try #require(reply.header.failure == nil)
  }

  /// Grants memory, with a file or without.
  func map(
    _ address: UInt64, _ byteCount: UInt64, _ rights: DMARights = [.read, .write],
    file: CInt? = nil, fileOffset: UInt64 = 0
  ) throws -> Errno? {
    let request = DMAMapRequest(
      rights: rights, fileOffset: fileOffset, address: DMAAddress(address), byteCount: byteCount)
    return try call(request, descriptors: file.map { [$0] } ?? []).header.failure
  }

  func unmap(_ address: UInt64, _ byteCount: UInt64) throws -> Errno? {
    try call(DMAUnmapRequest(address: DMAAddress(address), byteCount: byteCount)).header.failure
  }

  /// How many descriptors this process has open.
  static var openDescriptorCount: Int {
    (0..<1024).filter { cvfu_is_nonblocking(CInt($0)) >= 0 }.count
  }
}
