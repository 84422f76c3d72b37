import Logging
import Synchronization
import Testing

@testable import VFIOUser

/// Descriptors whose session ends at a bad moment, is busy, or goes on for long.
@Suite("Accesses over descriptors: strain") struct IORegionStrainTests {
  @Test(
    "V11: a client may close while a handler that was reached by a descriptor waits for its memory",
    arguments: ServingEngine.available)
  func endsInHandler(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x100)])
    let grant = DMAMapRequest(
      rights: [.read, .write], fileOffset: 0, address: DMAAddress(0x10000), byteCount: 0x1000)
    #expect(try rig.call(.dmaMap, grant.encodedPayload()).header.failure == nil)
    let answer = try rig.ask()
    let dma = try #require(rig.device.services).dma
    var failure: DMAError?
    rig.device.registers.onRead = { [unowned rig] in
      rig.peer.channel.shutDown()
      do throws(DMAError) { _ = try dma.load(at: DMAAddress(0x10000), as: UInt32.self) } catch {
        failure = error
      }
    }
    try answer.ports[0].send(.read(at: 0, byteCount: 4, userData: answer.entries[0].value))
    // The loop alone: the handler is what finds the end.
    for _ in 0..<8 { try rig.loop.runOnce(timeout: .zero) }
    #expect(failure != nil && rig.device.registers.accesses == [.read(0, 4)])
    try rig.work()
    #expect(answer.ports[0].isClosed)
    #expect(rig.device.events.last == "disconnected")
    rig.device.registers.onRead = {}
    try rig.reconnect()
    let again = try rig.ask()
    #expect(try rig.read(0, 4, again.entries[0].value, on: again.ports[0]) == 0)
  }

  /// Work that posts itself again until it is told to stop.
  private final class Flood: Sendable {
    let isOver = Atomic<Bool>(false)

    func go(on loop: EventLoop) {
      loop.post { [self] in
        if !isOver.load(ordering: .relaxed) { go(on: loop) }
      }
    }
  }

  @Test(
    "V10: a mailbox is served while work that posts itself keeps its loop busy",
    arguments: PollingMode.allCases)
  func flood(polling: PollingMode) throws {
    let rig = try MailboxRig(device: polling)
    let flood = Flood()
    flood.go(on: rig.thread.loop)
    defer { flood.isOver.store(true, ordering: .relaxed) }
    for value in UInt64(1)...20 {
      try #require(rig.write(value, 8) == .done(0))
      try #require(rig.read(8) == .done(value))
    }
  }

  /// An endpoint that nobody is behind.
  private final class SilentEndpoint: IORegionEndpoint {
    let executor: any IORegionExecutor
    let generation: UInt64 = 1
    var isClosed = false

    init(_ executor: any IORegionExecutor) { self.executor = executor }

    func respond(_ data: UInt64, generation: UInt64) {}
    func pause() {}
    func resume() {}
    func close() { isClosed = true }
  }

  /// Makes an endpoint that has an access waiting at once.
  private final class SilentEnd: IORegionDeviceEnd, @unchecked Sendable {
    weak var endpoint: SilentEndpoint?

    func open(
      on loop: EventLoop, _ service: any IORegionService, for executor: any IORegionExecutor
    ) throws(Errno) -> any IORegionEndpoint {
      let endpoint = SilentEndpoint(executor)
      let command = IORegionCommand.read(at: 0, byteCount: 4, userData: 0)
      guard case .later = executor.execute(command, from: endpoint) else { throw .ioError }
      self.endpoint = endpoint
      return endpoint
    }
  }

  @Test("V11: what waits for an answer goes with its descriptor, not with the session")
  func deferredOfTheClosed() throws {
    let loop = try EventLoop(polling: .never)
    let slow = SlowRegion()
    let region = HostedRegion(
      try Region(byteCount: 16, handler: slow),
      RegionLayout(byteCount: 16, rights: [.read, .write]))
    let ports = LoopPorts(loop: loop, engine: nil, logger: Logger(label: "test"))
    ports.add(RegionExecutor.Part(offset: 0, byteCount: 16), to: 0, of: region, index: 0)
    let ends = (0..<9).map { _ in SilentEnd() }
    for end in ends { ports.serve(end, for: 0) }
    // The oldest made room for the ninth.
    #expect(slow.replies.count == 9)
    #expect(ends.map { $0.endpoint != nil } == [false] + [Bool](repeating: true, count: 8))
    if let second = ends[1].endpoint {
      second.close()
      second.executor.endpointClosed(second, because: nil)
    }
    #expect(ends[1].endpoint == nil && ends[2].endpoint != nil)
    for reply in slow.replies { reply.complete(with: [1, 0, 0, 0]) }
    ports.close()
    #expect(ends.allSatisfy { $0.endpoint == nil })
  }
}
