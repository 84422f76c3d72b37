import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Hostile servers") struct HostileServerTests {
  /// A read that the server answers with these bytes; the error that the client makes of it.
  static func readError(
    hangsUp: Bool = true, _ answer: @escaping @Sendable (TestPeer.Message) -> [UInt8]
  ) throws -> ClientError? {
    weak var gone: DeviceClient?
    var result: ClientError?
    do {
      let server = try FakeServer { end in
        try end.greet()
        try end.answerPlainRegion()
        let read = try end.expect(.regionRead)
        try end.peer.sendRaw(answer(read))
        if !hangsUp { _ = try end.next() }
      }
      let client = try server.connect()
      gone = client
      let region = try client.region(at: 0)
      result = clientError { _ = try region.read(at: RegionOffset(0), as: UInt32.self) }
      if result?.code == .protocolViolation {
        // The failure stays.
        #expect(client.connectionFailure == result)
        #expect(clientError { try client.reset() } == result)
        #expect(!client.isConnected)
      }
      client.close()
      server.join()
    }
    #expect(gone == nil)
    return result
  }

  static func frame(
    _ read: TestPeer.Message, payload: [UInt8], _ change: (inout MessageHeader) -> Void = { _ in }
  ) -> [UInt8] {
    var header = MessageHeader.reply(to: read.header, payloadByteCount: payload.count)
    change(&header)
    return TestPeer.frame(header, payload)
  }

  @Test("E16: a reply with a wrong identity ends the connection", arguments: [1, 0x400, 0x8000])
  func wrongIdentity(difference: UInt16) throws {
    let error = try Self.readError {
      Self.frame($0, payload: FakeServer.readReply($0, [1, 2, 3, 4])) {
        $0.messageID ^= difference
      }
    }
    #expect(error?.code == .protocolViolation)
  }

  @Test("E16: a reply for another command ends the connection")
  func wrongCommand() throws {
    let error = try Self.readError {
      Self.frame($0, payload: FakeServer.readReply($0, [1, 2, 3, 4])) { $0.command = .regionWrite }
    }
    #expect(error?.code == .protocolViolation)
  }

  @Test("E16: a message of no known type ends the connection")
  func wrongType() throws {
    let error = try Self.readError {
      Self.frame($0, payload: FakeServer.readReply($0, [1, 2, 3, 4])) {
        $0.flags = MessageFlags(rawValue: 2)
      }
    }
    #expect(error?.code == .protocolViolation)
  }

  @Test("E16: a reply that is cut anywhere ends the connection", arguments: 0..<20)
  func truncated(count: Int) throws {
    let error = try Self.readError {
      Self.frame(
        $0, payload: Array(FakeServer.readReply($0, [1, 2, 3, 4]).prefix(count)))
    }
    #expect(error?.code == .protocolViolation)
  }

  @Test("E16: a reply with more than was asked for ends the connection")
  func tooMuch() throws {
    let error = try Self.readError {
      Self.frame($0, payload: FakeServer.readReply($0, [1, 2, 3, 4, 5]))
    }
    #expect(error?.code == .protocolViolation)
  }

  @Test("A reply with less than was asked for is a short transfer")
  func tooLittle() throws {
    let error = try Self.readError {
      Self.frame($0, payload: FakeServer.readReply($0, [1, 2, 3]))
    }
    #expect(error?.code == .shortTransfer)
  }

  @Test(
    "E16: a length below the header's or beyond every limit ends the connection",
    arguments: [0, 15, 0x7fff_ffff, UInt32.max])
  func wrongLength(length: UInt32) throws {
    let error = try Self.readError {
      Self.frame($0, payload: FakeServer.readReply($0, [1, 2, 3, 4])) { $0.byteCount = length }
    }
    #expect(error?.code == .protocolViolation)
  }

  @Test("An error reply without an error number is EIO")
  func errorWithoutNumber() throws {
    let error = try Self.readError {
      Self.frame($0, payload: []) { $0.flags = [.reply, .error] }
    }
    #expect(error == ClientError(.rejected, .ioError, ""))
  }

  @Test("E16: silence ends with the timeout, and the connection goes on")
  func silence() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      let late = try end.expect(.regionRead)
      let next = try end.expect(.deviceReset)
      // The late reply is dropped, and the next command has its own.
      try end.reply(to: late, FakeServer.readReply(late, [1]))
      try end.reply(to: next)
    }
    let client = try server.connect()
    let region = try client.region(at: 0)
    client.limitWaits(to: .milliseconds(100))
    let error = clientError { _ = try region.read(at: RegionOffset(0), as: UInt8.self) }
    #expect(error == ClientError(.timedOut, .timedOut, ""))
    try client.reset(timeout: .seconds(60))
    server.join()
  }

  @Test("E16: a reply that trickles in does not stretch the wait")
  func trickle() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      let read = try end.expect(.regionRead)
      // More than a minute of it, unless the client gives up.
      let data = [UInt8](repeating: 1, count: 4000)
      for byte in Self.frame(read, payload: FakeServer.readReply(read, data)) {
        guard (try? end.peer.sendRaw([byte])) != nil, !end.peer.isAtEnd else { return }
        usleep(20_000)
      }
    }
    let client = try server.connect()
    let region = try client.region(at: 0)
    client.limitWaits(to: .milliseconds(150))
    let start = MonotonicTime.now
    let error = clientError { _ = try region.read(at: RegionOffset(0), byteCount: 4000) }
    #expect(error?.code == .timedOut)
    #expect(MonotonicTime.now < start.advanced(by: .seconds(30)))
    client.close()
    server.join()
  }

  @Test(
    "E16: a connection that ends in the middle of a reply is an error", arguments: [0, 1, 15, 20])
  func closeMidReply(count: Int) throws {
    let error = try Self.readError {
      Array(Self.frame($0, payload: FakeServer.readReply($0, [1, 2, 3, 4])).prefix(count))
    }
    #expect(error?.code == .disconnected)
  }

  @Test("E16: garbage instead of a greeting fails the connection", arguments: 0..<60)
  func garbageGreeting(seed: UInt64) throws {
    do {
      let server = try FakeServer { end in
        var generator = SeededGenerator(seed: seed)
        let version = try end.expect(.version)
        var payload = (0..<Int.random(in: 0...80, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
        if seed % 2 == 0 {
          // A good header, and JSON that is nearly right.
          let text = Array(NegotiationTests.qemu.utf8)
          payload = [0, 0, 0, 0] + text + [0]
          payload[Int.random(in: 0..<payload.count, using: &generator)] ^= 0x55
          try end.reply(to: version, payload)
        } else {
          try end.peer.sendRaw(payload)
        }
        if let info = try end.next(timeout: .milliseconds(20)) {
          try? end.reply(to: info, FakeServer.info.encodedPayload())
        }
      }
      do {
        _ = try server.connect()
      } catch let error as ClientError {
        #expect(
          [.protocolViolation, .incompatible, .disconnected, .timedOut].contains(error.code))
      }
      server.join()
    }
  }

  @Test("E16: random replies to every command neither trap nor hang nor leak", arguments: 0..<40)
  func randomReplies(seed: UInt64) throws {
    let witness = try DescriptorWitness()
    weak var gone: DeviceClient?
    do {
      let raw = witness.rawValue
      let server = try FakeServer { end in
        var generator = SeededGenerator(seed: seed)
        try end.greet()
        while let message = try end.next() {
          for raw in message.descriptors { _ = OwnedDescriptor(adopting: raw) }
          let payload = RandomBytesTests.payload(using: &generator)
          let count = Int.random(in: 0...3, using: &generator)
          try? end.reply(
            to: message, payload, descriptors: [CInt](repeating: raw, count: count))
        }
      }
      let client = try server.connect()
      gone = client
      let region = ClientRegion(
        client: client, info: RegionInfo(index: 0, flags: [.read, .write], byteCount: 4096),
        areas: [])
      let calls: [() throws -> Void] = [
        { _ = try client.region(at: 0) }, { _ = try client.interruptInfo(index: 0) },
        { _ = try client.ioDescriptors(region: region) },
        { _ = try client.enableInterrupts(index: 2, count: 3) },
        { _ = try region.read(at: RegionOffset(0), as: UInt32.self) },
        { try region.write(UInt32(0), at: RegionOffset(0)) },
        { _ = try client.deviceFeature(DeviceFeature(.migration, .get)) },
        { _ = try client.readMigrationData(byteCount: 16) },
        { try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0)) },
        { try client.unmapMemory(at: DMAAddress(0), byteCount: 4096) },
      ]
      var generator = SeededGenerator(seed: seed)
      for call in calls.shuffled(using: &generator) { _ = clientError(call) }
      client.close()
      server.join()
    }
    #expect(gone == nil && witness.isOnlyHolder())
  }

  @Test("E16: a server that asks without reading the answers is given up")
  func unreadReplies() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.reply(to: try end.expect(.dmaMap))
      for _ in 0..<200 {
        _ = try? end.peer.send(.dmaRead, ClientMemoryTests.access(0, 1 << 20))
      }
      let deadline = MonotonicTime.now.advanced(by: .seconds(60))
      while !end.peer.channel.hasPeerHungUp, MonotonicTime.now < deadline { usleep(1000) }
    }
    let client = try server.connect()
    try client.mapPrivateMemory(PrivateMemory(byteCount: 1 << 20), at: DMAAddress(0))
    let error = clientError { try client.serve(timeout: .seconds(60)) }
    #expect(error?.code == .protocolViolation)
    server.join()
  }

  @Test("E16: a twin socket that did not come along, or is none, fails the connection")
  func badTwin() throws {
    for sendsFile in [false, true] {
      let server = try FakeServer { end in
        let version = try end.expect(.version)
        let request = try VersionMessage(decoding: version.payload.rawSpan)
        let answer = try Negotiation.serverReply(to: request, offering: FakeServer.capabilities)
        let event = try EventDescriptor()
        try end.reply(
          to: version, answer.encodedPayload(),
          descriptors: sendsFile ? [event.rawValue] : [])
      }
      let error = clientError { _ = try server.connect { $0.offersTwinSocket = true } }
      #expect(error?.code == .protocolViolation)
      server.join()
    }
  }

  @Test("Closing wakes a call that waits")
  func close() throws {
    let server = try FakeServer { end in
      try end.greet()
      _ = try end.expect(.deviceReset)
      _ = try end.next()
    }
    let client = try server.connect()
    let closer = TestThread {
      usleep(50_000)
      client.close()
    }
    let start = MonotonicTime.now
    #expect(clientError { try client.reset() }?.code == .disconnected)
    #expect(MonotonicTime.now < start.advanced(by: .seconds(30)))
    closer.join()
    server.join()
  }
}
