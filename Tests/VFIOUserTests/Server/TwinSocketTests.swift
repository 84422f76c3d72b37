import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("The second socket") struct TwinSocketTests {
  /// A session whose client has asked for a second socket, and the client's end of that.
  private static func start(
    _ rig: TestRig, supported: Bool = true
  ) throws -> (reply: VersionMessage, twin: TestPeer?) {
    var capabilities = TestRig.usualCapabilities
    capabilities.twinSocket = Capabilities.TwinSocket(isSupported: supported)
    try rig.peer.send(VersionMessage(capabilities: capabilities))
    let reply = try #require(try rig.turn())
    let version = try VersionMessage(decoding: reply.payload.rawSpan)
    #expect(reply.descriptors.count <= 1)
    let twin = try reply.descriptors.first.map {
      try TestPeer(adopting: OwnedDescriptor(adopting: $0))
    }
    return (version, twin)
  }

  @Test("V9: a second socket is made only for a client that offers it, and only if the server does")
  func negotiation() throws {
    let plain = try TestRig(negotiate: false)
    let (reply, none) = try Self.start(plain, supported: false)
    #expect(reply.capabilities?.twinSocket == nil)
    #expect(none == nil)

    var options = DeviceOptions()
    options.offersTwinSocket = false
    let unwilling = try TestRig(options: options, negotiate: false)
    #expect(try Self.start(unwilling).twin == nil)

    let rig = try TestRig(negotiate: false)
    let (answer, twin) = try Self.start(rig)
    #expect(answer.capabilities?.twinSocket == .init(isSupported: true, descriptorIndex: 0))
    #expect(twin != nil)
  }

  @Test("V9: the server's commands go to the second socket, their replies come back there")
  func commands() throws {
    let rig = try TestRig(negotiate: false)
    let twin = try #require(try Self.start(rig).twin)
    #expect(try rig.map(0x10000, 4096) == nil)
    let dma = try #require(rig.device.services).dma
    var result: Result<[UInt8], DMAError>?
    dma.read(at: DMAAddress(0x10000), byteCount: 4) { result = $0 }
    try rig.work()
    #expect(try rig.peer.receive() == nil)
    let request = try #require(try twin.receive())
    #expect(request.header.command == .dmaRead)
    // A reply with that number on the first socket is nobody's.
    let reply = TestPeer.frame(
      .reply(to: request.header, payloadByteCount: 20), request.payload + [1, 2, 3, 4])
    #expect(try rig.read(0, 0, 1) == [0])
    #expect(result == nil)
    try twin.sendRaw(reply)
    try rig.work()
    #expect(try result?.get() == [1, 2, 3, 4])
  }

  @Test("V9: an access that waits for DMA leaves the first socket to later commands' turn")
  func crossing() throws {
    let rig = try TestRig(negotiate: false)
    let twin = try #require(try Self.start(rig).twin)
    #expect(try rig.map(0x10000, 4096) == nil)
    try rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    try rig.work()
    let dma = try #require(rig.device.services).dma
    let waiting = rig.device.slow.replies[0]
    dma.read(at: DMAAddress(0x10000), byteCount: 4) { result in
      waiting.complete(with: (try? result.get()) ?? [])
    }
    #expect(try rig.turn() == nil)
    let request = try #require(try twin.receive())
    try twin.sendRaw(
      TestPeer.frame(
        .reply(to: request.header, payloadByteCount: 20), request.payload + [1, 2, 3, 4]))
    #expect(try rig.turn()?.payload.suffix(4) == [1, 2, 3, 4])
    #expect(try rig.turn()?.payload.suffix(4) == [0, 0, 0, 0])
  }

  @Test(
    "E17: a command, nonsense or a cut on the second socket ends the session",
    arguments: ["command", "short header", "huge message", "hangup"])
  func faults(_ kind: String) throws {
    let rig = try TestRig(negotiate: false)
    var twin = try Self.start(rig).twin
    #expect(try rig.map(0x10000, 4096) == nil)
    switch kind {
    case "command": try twin?.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    case "short header": try twin?.sendRaw([UInt8](repeating: 0, count: 16))
    case "huge message":
      try twin?.sendRaw([1, 0, 11, 0, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0])
    default: twin = nil
    }
    try rig.work()
    #expect(rig.end != nil)
    #expect(rig.peer.isClosed)
    #expect(twin?.isClosed ?? true)
    try rig.reconnect()
    #expect(try rig.read(0, 0, 1) == [0])
  }

  @Test("V11: a client that goes loses its second socket as well")
  func disconnect() throws {
    let rig = try TestRig(negotiate: false)
    let twin = try #require(try Self.start(rig).twin)
    try rig.hangUp()
    #expect(twin.isClosed)
  }
}
