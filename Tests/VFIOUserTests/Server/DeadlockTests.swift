import Testing

@testable import VFIOUser

/// Both sides have one thread each, and both send a megabyte at once.
@Suite("Crossing messages", .serialized) struct DeadlockTests {
  private static let address = DMAAddress(WaitingPeer.base)
  private static let megabyte = 1 << 20

  @Test("V9: DMA in completion form crosses a megabyte write", arguments: [false, true])
  func completionForm(twin: Bool) throws {
    let server = try ServerThread { _ in
      ScriptedDevice { (device, offset, bytes, access) throws(Errno) in
        guard bytes.count == 1, let dma = device.services?.dma else { return }
        // Both ways at once; the first byte tells when both are done.
        dma.write(
          at: Self.address, bytes: [UInt8](repeating: 0x5a, count: Self.megabyte)
        ) { if (try? $0.get()) != nil { device.bytes[0] += 1 } }
        dma.read(at: Self.address, byteCount: Self.megabyte) {
          if (try? $0.get())?.count == Self.megabyte { device.bytes[0] += 1 }
        }
      }
    }
    defer { server.stop() }
    let client = try WaitingPeer(path: server.path)
    try client.negotiate(twin: twin)
    try client.grantMemory()
    for round in 1...4 {
      try client.write(0, 0, [1])
      let payload = TestPeer.writePayload(0, 0, [UInt8](repeating: 7, count: Self.megabyte))
      let number = try client.sendStubbornly(.regionWrite, payload)
      #expect(try client.next()?.header.messageID == number)
      while try client.read(0, 0, 1) != [UInt8(2 * round)] {}
    }
    #expect(client.memory.allSatisfy { $0 == 0x5a })
  }

  @Test(
    "V9: DMA in blocking form within a write crosses a megabyte write", arguments: [false, true])
  func blockingForm(twin: Bool) throws {
    let server = try ServerThread { _ in
      ScriptedDevice { (device, offset, bytes, access) throws(Errno) in
        guard bytes.count == 1, let dma = device.services?.dma else { return }
        do throws(DMAError) {
          var buffer = [UInt8](repeating: 0, count: Self.megabyte)
          try buffer.withMutableRawSpan { (span) throws(DMAError) in
            try dma.read(at: Self.address, into: &span)
          }
          for index in buffer.indices { buffer[index] &+= 1 }
          try dma.write(at: Self.address, from: buffer.rawSpan)
        } catch { throw error.errno }
      }
    }
    defer { server.stop() }
    let client = try WaitingPeer(path: server.path)
    try client.negotiate(twin: twin)
    try client.grantMemory()
    for _ in 0..<3 {
      let first = try client.peer.send(.regionWrite, TestPeer.writePayload(0, 0, [1]))
      // The device is in its handler, and waits for the client, which sends before it answers.
      let payload = TestPeer.writePayload(0, 0, [UInt8](repeating: 7, count: Self.megabyte))
      let second = try client.sendStubbornly(.regionWrite, payload)
      #expect(try client.next()?.header.messageID == first)
      #expect(try client.next()?.header.messageID == second)
    }
    #expect(client.memory.allSatisfy { $0 == 3 })
  }

  @Test(
    "V9: a client that never answers costs its time-out, and is served on",
    arguments: [false, true])
  func silence(twin: Bool) throws {
    var options = DeviceOptions()
    options.clientTimeout = .milliseconds(80)
    let server = try ServerThread(options: options) { _ in
      ScriptedDevice { (device, offset, bytes, access) throws(Errno) in
        do throws(DMAError) {
          _ = try device.services?.dma.load(at: Self.address, as: UInt32.self)
        } catch { throw error.errno }
      }
    }
    defer { server.stop() }
    let client = try WaitingPeer(path: server.path)
    try client.negotiate(twin: twin)
    try client.grantMemory()
    let start = MonotonicTime.now
    let number = try client.peer.send(.regionWrite, TestPeer.writePayload(0, 0, [1]))
    let request = try #require(try client.next(servesMemory: false))
    #expect(request.header.command == .dmaRead)
    let reply = try #require(try client.next())
    #expect(reply.header.messageID == number)
    #expect(reply.header.failure == .timedOut)
    #expect(MonotonicTime.now < start.advanced(by: .seconds(30)))
    // The answer comes too late, and harms nobody.
    let lane = client.twin ?? client.peer
    try lane.sendRaw(
      TestPeer.frame(
        .reply(to: request.header, payloadByteCount: 20), request.payload + [1, 2, 3, 4]))
    #expect(try client.read(0, 0, 1) == [0])
    try client.write(0, 0, [1])
  }
}
