import Testing

@testable import VFIOUser

@Suite("Many interrupt vectors") struct ManyVectorTests {
  /// A device with 2048 vectors and nothing else.
  private final class ManyVectors: ServedDevice {
    var services: DeviceServices?
    let layout = DeviceLayout(
      flags: [], regions: [],
      interrupts: [InterruptLayout(count: 2048, flags: [.eventfd, .maskable])])
    func region(at index: Int) -> Region? { nil }
    func start(_ services: DeviceServices) { self.services = services }
    func clientConnected() {}
    func clientDisconnected() {}
    func reset(_ kind: ResetKind) {}
    func memoryMapped(_ range: DMARange) {}
    func memoryUnmapped(_ range: DMARange) {}
    func resume() {}
    func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence { .done }
  }

  @Test("Q6: 2048 vectors are assigned in messages of 16 descriptors, and each is delivered")
  func all() throws {
    let loop = try EventLoop(polling: .never)
    let device = ManyVectors()
    let host = DeviceHost(device: device, loop: loop)
    let pair = try SocketPair()
    let session = try host.makeSession(adopting: pair.first.duplicate())
    defer { session.close() }
    let peer = try TestPeer(adopting: pair.second.duplicate())
    func call(_ message: some WireMessage, _ descriptors: [CInt] = []) throws {
      try peer.send(message, descriptors: descriptors)
      while session.process() == .more {}
      let reply = try #require(try peer.receive())
      #expect(reply.header.failure == nil)
    }
    try call(VersionMessage(capabilities: TestRig.usualCapabilities))
    let events = try (0..<2048).map { _ in EventBox(try EventDescriptor()) }
    for start in stride(from: 0, to: 2048, by: 16) {
      try call(
        SetIRQs(
          action: .trigger, selection: .eventfds, index: 0, start: UInt32(start), count: 16),
        events[start..<(start + 16)].map { $0.event.rawValue })
    }
    let interrupts = try #require(device.services).interrupts[0]
    for vector in 0..<2048 where vector % 3 != 0 { interrupts.raise(vector) }
    for vector in 0..<2048 {
      #expect(events[vector].event.consume() == (vector % 3 == 0 ? nil : 1))
    }
    try call(SetIRQs.disable(index: 0))
    interrupts.raise(5)
    #expect(events[5].event.consume() == nil)
  }
}
