import Synchronization
import Testing

@testable import VFIOUser

@Suite("Regions that change") struct RegionChangeTests {
  /// What a callback was told.
  final class Heard: Sendable {
    let indices = Mutex<[Int]>([])
    func note(_ index: Int) { indices.withLock { $0.append(index) } }
    var all: [Int] { indices.withLock { $0 } }
  }

  static var capabilities: Capabilities {
    var capabilities = FakeServer.capabilities
    capabilities.extensions = ["region_changed": .bool(true), "posted": .bool(true)]
    return capabilities
  }

  static func info(_ byteCount: UInt64) -> RegionInfo {
    RegionInfo(index: 0, flags: [.read, .write], byteCount: byteCount)
  }

  @Test("I23: a region that changed is asked about again, and the caller hears of it")
  func changed() throws {
    let server = try FakeServer { end in
      try end.greet(capabilities: Self.capabilities)
      try end.answerRegionInfo(Self.info(4096))
      let reset = try end.expect(.deviceReset)
      try end.peer.send(RegionChanged(index: 0), flags: .noReply)
      try end.reply(to: reset)
      try end.answerRegionInfo(Self.info(4096))
    }
    let heard = Heard()
    let client = try server.connect { $0.onRegionChanged = { heard.note($0) } }
    #expect(client.capabilities.offers(.regionChanged) && !client.capabilities.offers(.posted))
    _ = try client.region(at: 0)
    // The change lies before the reply.
    try client.reset()
    #expect(heard.all == [0])
    _ = try client.region(at: 0)
    _ = try client.region(at: 0)
    server.join()
  }

  @Test("I23: an answer that was taken back before it was used is asked for again")
  func takenBack() throws {
    let server = try FakeServer { end in
      try end.greet(capabilities: Self.capabilities)
      let first = try end.expect(.deviceGetRegionInfo)
      try end.peer.send(RegionChanged(index: 0), flags: .noReply)
      try end.reply(to: first, Self.info(4096).encodedPayload())
      try end.answerRegionInfo(Self.info(8192))
    }
    let client = try server.connect { $0.onRegionChanged = { _ in } }
    #expect(try client.region(at: 0).byteCount == 8192)
    server.join()
  }

  @Test("I23: extensions are offered only where they are asked for")
  func offers() throws {
    let server = try FakeServer { end in
      let version = try end.expect(.version)
      let request = try VersionMessage(decoding: version.payload.rawSpan)
      #expect(request.capabilities?.extensions == nil)
      let answer = try Negotiation.serverReply(to: request, offering: Self.capabilities)
      #expect(answer.capabilities?.extensions == nil)
      try end.reply(to: version, answer.encodedPayload())
      try end.reply(to: try end.expect(.deviceGetInfo), FakeServer.info.encodedPayload())
      // Not agreed on: refused like any number that nobody knows, and the region stays known.
      try end.answerRegionInfo(Self.info(4096))
      try end.peer.send(RegionChanged(index: 0))
      // The client may come to it before or after it has asked for the reset.
      let arrived = [try #require(try end.next()), try #require(try end.next())]
      let answered = try #require(arrived.first { $0.header.command == .regionChanged })
      #expect(answered.header.failure == .notSupported)
      try end.reply(to: try #require(arrived.first { $0.header.command == .deviceReset }))
    }
    let client = try server.connect()
    _ = try client.region(at: 0)
    try client.reset()
    _ = try client.region(at: 0)
    server.join()
    var options = ClientOptions()
    options.offersPostedMessages = true
    options.extensions = ["other": .bool(true)]
    let offered = try #require(options.proposal.capabilities?.extensions)
    #expect(offered == ["posted": .bool(true), "other": .bool(true)])
  }

  @Test("E16: a change that makes no sense changes nothing")
  func nonsense() throws {
    let payloads: [[UInt8]] = [
      [], [0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 1, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0], [255, 255, 255, 255, 0, 0, 0, 0],
    ]
    let server = try FakeServer { end in
      try end.greet(capabilities: Self.capabilities)
      try end.answerRegionInfo(Self.info(4096))
      for payload in payloads { try end.peer.send(.regionChanged, payload, flags: .noReply) }
      try end.peer.send(.regionChanged, payloads[0])
      // The client may come to the last one before or after it has asked for the reset.
      let arrived = [try #require(try end.next()), try #require(try end.next())]
      let refused = try #require(arrived.first { $0.header.command == .regionChanged })
      #expect(refused.header.failure != nil)
      try end.reply(to: try #require(arrived.first { $0.header.command == .deviceReset }))
    }
    let heard = Heard()
    let client = try server.connect { $0.onRegionChanged = { heard.note($0) } }
    _ = try client.region(at: 0)
    try client.reset()
    _ = try client.region(at: 0)
    #expect(heard.all.isEmpty)
    server.join()
  }

  @Test("REGION_CHANGED has 8 bytes") func golden() throws {
    let message = RegionChanged(index: 0x0102_0304)
    #expect(message.encodedPayload() == [4, 3, 2, 1, 0, 0, 0, 0])
    let bytes = message.encodedPayload()
    #expect(try RegionChanged(decoding: bytes.rawSpan) == message)
  }
}
