import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// A client that goes away while its commands wait, under the server's own loop.
@Suite("Hangups") struct HangupTests {
  final class Served {
    let loop: EventLoop
    let device: TestDevice
    let server: DeviceServer
    var peer: TestPeer?

    init() throws {
      loop = try EventLoop(polling: .never)
      device = try TestDevice()
      server = DeviceServer(host: DeviceHost(device: device, loop: loop))
      var ends: [CInt] = [-1, -1]
      _ = ends.withUnsafeMutableBufferPointer { unsafe cvfu_socket_pair($0.baseAddress) }
      try server.adopt(OwnedDescriptor(adopting: ends[0]))
      peer = try TestPeer(adopting: OwnedDescriptor(adopting: ends[1]))
      try peer?.send(VersionMessage(capabilities: TestRig.usualCapabilities))
      try work()
    }

    func work(_ turns: Int = 10) throws {
      for _ in 0..<turns { try loop.runOnce(timeout: .zero) }
    }
  }

  @Test("V11: an access that waits does not keep its client's end from being seen")
  func deferredAccess() throws {
    let served = try Served()
    try served.peer?.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try served.peer?.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    try served.work()
    #expect(served.device.slow.replies.count == 1)
    served.peer?.channel.shutDown()
    served.peer = nil
    try served.work()
    #expect(!served.server.host.isOccupied)
  }

  @Test("A client that hung up does not keep a loop awake while the device is not quiet yet")
  func quiescing() throws {
    let served = try Served()
    served.device.holdsQuiesce = true
    try served.peer?.send(.deviceReset)
    try served.peer?.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    try served.work()
    served.peer?.channel.shutDown()
    served.peer = nil
    try served.work()
    // Nothing is ready any more: a turn takes its whole time.
    let start = MonotonicTime.now
    try served.loop.runOnce(timeout: .milliseconds(30))
    #expect(MonotonicTime.now >= start.advanced(by: .milliseconds(25)))
    served.device.holdsQuiesce = false
    served.device.quiesceCompletion?.done()
    try served.work()
    #expect(!served.server.host.isOccupied)
  }

  // MARK: What a client leaves behind

  /// How much the client of `leftBehind` has not read when it goes.
  enum Unread: CaseIterable { case nothing, someReplies, moreThanTheSocketTakes }

  @Test(
    "V8, V11: commands that a client left behind count, whatever it has not read and however it went",
    arguments: Unread.allCases, [false, true])
  func leftBehind(unread: Unread, closes: Bool) throws {
    let rig = try TestRig()
    switch unread {
    case .nothing: break
    case .someReplies: try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4096))
    case .moreThanTheSocketTakes:
      for _ in 0..<100 { try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4096)) }
    }
    try rig.work()
    #expect(rig.session.channel.backlog.isEmpty == (unread != .moreThanTheSocketTakes))
    // A reply that nobody will read, and a write that wants none.
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 1))
    try rig.peer.send(.regionWrite, TestPeer.writePayload(0, 0, [1]), flags: .noReply)
    if closes {
      // The last copy is closed here: what was not read resets the connection.
      rig.peer = try TestPeer(adopting: SocketPair().first.duplicate())
    } else {
      rig.peer.channel.shutDown()
    }
    try rig.work { rig.end != nil }
    #expect(rig.device.memory.writeCount == 1)
    #expect(rig.end == .clientClosed)
  }

  @Test(
    "V8, V11: a client that goes while the device waits for it fails that, and what it left counts",
    arguments: [CInt(SHUT_WR), CInt(SHUT_RDWR)], [false, true])
  func goneDuringBlockingAccess(direction: CInt, wantsTwin: Bool) throws {
    let loop = try EventLoop(polling: .never)
    let device = ScriptedDevice { (device, offset, bytes, access) throws(Errno) in
      guard bytes.count == 1 else {
        device.bytes[0] += 1
        return
      }
      do throws(DMAError) {
        _ = try device.services?.dma.load(at: DMAAddress(WaitingPeer.base), as: UInt32.self)
      } catch {
        if error.code == .cancelled { device.bytes[1] += 1 }
        throw error.errno
      }
    }
    let server = DeviceServer(host: DeviceHost(device: device, loop: loop))
    let pair = try SocketPair()
    try server.adopt(try pair.first.duplicate())
    let peer = try TestPeer(adopting: pair.second.duplicate())
    _ = consume pair
    func work() throws { for _ in 0..<10 { try loop.runOnce(timeout: .zero) } }
    var capabilities = TestRig.usualCapabilities
    if wantsTwin { capabilities.twinSocket = Capabilities.TwinSocket(isSupported: true) }
    try peer.send(VersionMessage(capabilities: capabilities))
    try work()
    let twin = try peer.receive()?.descriptors.first.map {
      try TestPeer(adopting: OwnedDescriptor(adopting: $0))
    }
    #expect((twin != nil) == wantsTwin)
    try peer.send(
      DMAMapRequest(
        rights: .read, address: DMAAddress(WaitingPeer.base), byteCount: 4096))
    try work()
    #expect(try peer.receive()?.header.failure == nil)
    // The first write has the device wait for the client; those behind it are what counts.
    try peer.send(.regionWrite, TestPeer.writePayload(0, 0, [1]))
    for _ in 0..<3 {
      try peer.send(.regionWrite, TestPeer.writePayload(0, 0, [2, 3]), flags: .noReply)
    }
    for lane in [twin, peer].compactMap({ $0 }) {
      #expect(shutdown(lane.channel.socket.rawValue, direction) == 0)
    }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while server.host.isOccupied, MonotonicTime.now < deadline {
      try loop.runOnce(timeout: .milliseconds(5))
    }
    #expect(!server.host.isOccupied)
    #expect(device.bytes[0] == 3)
    #expect(device.bytes[1] == 1)
  }
}
