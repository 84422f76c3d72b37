import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// Clients that say almost the right thing.
@Suite("Hostile clients") struct SoakTests {
  private static func conversation() -> [[UInt8]] {
    func frame(_ message: some WireMessage) -> [UInt8] { message.frame(messageID: 1) }
    func access(_ command: Command, _ payload: [UInt8]) -> [UInt8] {
      TestPeer.frame(
        MessageHeader(messageID: 2, command: command, payloadByteCount: payload.count), payload)
    }
    let memory = DMAAddress(0x10000)
    return [
      frame(VersionMessage(capabilities: TestRig.usualCapabilities)),
      frame(DMAMapRequest(rights: [.read, .write], address: memory, byteCount: 0x4000)),
      frame(DMAMapRequest(rights: .read, address: DMAAddress(0x20000), byteCount: 0x1000)),
      frame(DMAUnmapRequest(address: memory, byteCount: 0x4000)),
      frame(DeviceInfoRequest()),
      frame(RegionInfoRequest(index: 4, argumentSize: 200)),
      frame(RegionIODescriptorsRequest(index: 0)),
      frame(IRQInfoRequest(index: 2)),
      frame(SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 0, count: 2)),
      frame(SetIRQs(action: .mask, selection: .flagged([1, 0, 1]), index: 2, start: 1, count: 3)),
      frame(SetIRQs.disable(index: 2)),
      access(.regionRead, TestPeer.readPayload(0, 16, 64)),
      access(.regionRead, TestPeer.readPayload(2, 0, 4)),
      access(.regionWrite, TestPeer.writePayload(0, 0, [UInt8](repeating: 3, count: 100))),
      access(.regionWrite, TestPeer.writePayload(4, 8, [1, 2, 3, 4])),
      frame(
        RegionWriteMulti([
          .init(offset: RegionOffset(0), region: 0, count: 4, data: 5),
          .init(offset: RegionOffset(8), region: 4, count: 8, data: 6),
        ])),
      access(.deviceReset, []),
      access(.deviceFeature, [8, 0, 0, 0, 1, 0, 4, 0]),
      TestPeer.frame(
        .reply(to: MessageHeader(messageID: 0, command: .dmaRead, payloadByteCount: 16)), []),
    ]
  }

  /// Spoils a frame in one of many ways.
  private static func mutate(_ frame: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
    var frame = frame
    switch Int.random(in: 0..<10, using: &random) {
    case 0:
      frame[Int.random(in: frame.indices, using: &random)] ^=
        1 << UInt8.random(in: 0..<8, using: &random)
    case 1:
      let interesting: [UInt32] = [0, 1, 7, 15, 16, 0x7fff_ffff, 0x8000_0000, .max, 4096, 1 << 20]
      let place = Int.random(in: 0...(frame.count / 4 - 1), using: &random) * 4
      let value = interesting.randomElement(using: &random) ?? 0
      for byte in 0..<4 {
        frame[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte)))
      }
    case 2:
      frame = Array(frame.prefix(Int.random(in: 1...frame.count, using: &random)))
      if frame.count >= 8 { frame[4] = UInt8(truncatingIfNeeded: frame.count) }
    case 3:
      frame += (0..<Int.random(in: 1...64, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      frame[4] = UInt8(truncatingIfNeeded: frame.count)
      frame[5] = UInt8(truncatingIfNeeded: frame.count >> 8)
    case 4: frame[2] = UInt8.random(in: 0..<24, using: &random)
    case 5: frame[8] ^= 0x10
    default: break
    }
    return frame
  }

  @Test("E17: two seconds of spoilt conversations leave the server whole", arguments: [1, 2])
  func soak(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    // The client grants more than its file has.
    try BusErrorGuard.install()
    let conversation = Self.conversation()
    var options = DeviceOptions()
    options.clientTimeout = .milliseconds(1)
    let rig = try TestRig(options: options)
    let event = try EventDescriptor()
    let file = try SharedMemory(byteCount: 0x4000)
    let deadline = MonotonicTime.now.advanced(by: .milliseconds(900))
    var rounds = 0
    while MonotonicTime.now < deadline || rounds <= 10 {
      rounds += 1
      if rig.end != nil { try rig.reconnect(negotiate: Bool.random(using: &random)) }
      for _ in 0..<Int.random(in: 1..<30, using: &random) {
        let frame = Self.mutate(conversation.randomElement(using: &random) ?? [], &random)
        var descriptors: [CInt] = []
        if Int.random(in: 0..<3, using: &random) == 0 {
          for _ in 0..<Int.random(in: 1...3, using: &random) {
            descriptors.append(Bool.random(using: &random) ? event.rawValue : file.rawDescriptor)
          }
        }
        // The server may have closed the connection already.
        try? rig.peer.sendRaw(frame, descriptors: descriptors)
        if Int.random(in: 0..<4, using: &random) == 0 { try rig.work() }
        if Int.random(in: 0..<8, using: &random) == 0, let dma = rig.device.services?.dma {
          dma.read(at: DMAAddress(0x10000), byteCount: 16) { _ in }
          _ = try? dma.load(at: DMAAddress(0x20000), as: UInt32.self)
        }
        if Int.random(in: 0..<6, using: &random) == 0 {
          for reply in rig.device.slow.replies { reply.complete(with: [1, 2]) }
          rig.device.slow.replies = []
        }
      }
      try rig.work()
      while let reply = try? rig.peer.receive() {
        for descriptor in reply.descriptors { close(descriptor) }
      }
      if Int.random(in: 0..<5, using: &random) == 0 { try rig.hangUp() }
    }
    rig.device.slow.replies = []
    try rig.hangUp()
    try rig.reconnect()
    #expect(openCopies(of: event.rawValue) == 1)
    try rig.write(0, 0, [1, 2, 3])
    #expect(try rig.read(0, 0, 3) == [1, 2, 3])
    #expect(rig.host.table.count == 0)
  }
}
