import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

@Suite("Client calls") struct ClientCallTests {
  @Test("A client negotiates and learns what the device is")
  func connect() throws {
    let server = try FakeServer { end in try end.greet() }
    let client = try server.connect()
    #expect(client.deviceInfo == FakeServer.info)
    #expect(client.capabilities.effectiveMessageDescriptorCount == 8)
    #expect(client.capabilities.supportsWriteMultiple == true)
    #expect(!client.hasTwinSocket)
    #expect(client.descriptors.count == 1)
    server.join()
    #expect(!client.isConnected)
  }

  @Test("A socket that nobody listens to is an error that says so")
  func nobodyListens() {
    let error = clientError { _ = try DeviceClient.connect(path: "/nonexistent/socket") }
    #expect(error == ClientError(.connectFailed, .noSuchFileOrDirectory, ""))
  }

  @Test("E1: an access of 1, 2, 4 or 8 bytes is one message", arguments: [1, 2, 4, 8, 3])
  func words(width: Int) throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      let write = try end.expect(.regionWrite)
      #expect(write.payload.count == 16 + width)
      try end.reply(to: write, Array(write.payload.prefix(16)))
      let read = try end.expect(.regionRead)
      try end.reply(to: read, FakeServer.readReply(read, Array(write.payload.dropFirst(16))))
    }
    let region = try server.connect().region(at: 0)
    #expect(region.byteCount == 4096 && region.mappedAreas.isEmpty)
    let word = 0x8877_6655_4433_2211 & (UInt64.max >> UInt64(64 - 8 * width))
    try region.writeWord(word, at: RegionOffset(0x10), byteCount: width)
    #expect(try region.readWord(at: RegionOffset(0x10), byteCount: width) == word)
    server.join()
  }

  @Test("An access outside the region is refused without a message")
  func outside() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      #expect(try end.next() == nil)
    }
    do {
      let region = try server.connect().region(at: 0)
      for (offset, count) in [(4096, 1), (4093, 4), (.max, 8), (0, 9), (0, 0)] as [(UInt64, Int)] {
        let error = clientError {
          _ = try region.readWord(at: RegionOffset(offset), byteCount: count)
        }
        #expect(error?.code == .invalidArgument)
      }
      #expect(try region.read(at: RegionOffset(4096), byteCount: 0).isEmpty)
      region.client.close()
    }
    server.join()
  }

  @Test("Long transfers are split by the server's limit")
  func split() throws {
    let server = try FakeServer { end in
      var capabilities = FakeServer.capabilities
      capabilities.maximumTransferByteCount = 100
      try end.greet(capabilities: capabilities)
      try end.answerPlainRegion()
      var memory = [UInt8](repeating: 0, count: 4096)
      for _ in 0..<6 {
        let message = try #require(try end.next())
        let access = try RegionAccess(decoding: message.payload.rawSpan)
        #expect(access.count <= 100)
        let start = Int(access.offset.rawValue)
        if message.header.command == .regionWrite {
          memory.replaceSubrange(
            start..<(start + Int(access.count)), with: message.payload.dropFirst(16))
          try end.reply(to: message, Array(message.payload.prefix(16)))
        } else {
          let data = Array(memory[start..<(start + Int(access.count))])
          try end.reply(to: message, FakeServer.readReply(message, data))
        }
      }
    }
    let region = try server.connect().region(at: 0)
    let data = (0..<250).map { UInt8($0) }
    try region.write(at: RegionOffset(7), from: data.rawSpan)
    #expect(try region.read(at: RegionOffset(7), byteCount: 250) == data)
    server.join()
  }

  @Test("E2: posted writes ask for no reply, and a later read finds them done")
  func posted() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      for value in 0..<100 {
        let write = try end.expect(.regionWrite)
        #expect(!write.header.wantsReply && write.payload[16] == UInt8(value))
      }
      let read = try end.expect(.regionRead)
      try end.reply(to: read, FakeServer.readReply(read, [99, 0, 0, 0]))
    }
    let region = try server.connect().region(at: 0)
    for value in 0..<100 { try region.post(UInt32(value), at: RegionOffset(8)) }
    #expect(try region.read(at: RegionOffset(8), as: UInt32.self) == 99)
    server.join()
  }

  @Test("Several writes go in one message where that was agreed, and nowhere else")
  func multiple() throws {
    let server = try FakeServer { end in
      try end.greet()
      let message = try end.expect(.regionWriteMulti)
      let writes = try RegionWriteMulti(decoding: message.payload.rawSpan)
      #expect(writes.entries.count == 2)
      try end.reply(to: message, RegionWriteMultiReply(count: 2).encodedPayload())
      let posted = try end.expect(.regionWriteMulti)
      #expect(!posted.header.wantsReply)
      let short = try end.expect(.regionWriteMulti)
      try end.reply(to: short, RegionWriteMultiReply(count: 1).encodedPayload())
    }
    let client = try server.connect()
    let writes = [1, 2].map {
      RegionWriteMulti.Entry(offset: RegionOffset(8 * $0), region: 0, count: 4, data: $0)
    }
    try client.writeMultiple(writes)
    try client.writeMultiple(writes, isPosted: true)
    #expect(clientError { try client.writeMultiple(writes) }?.code == .shortTransfer)
    #expect(clientError { try client.writeMultiple([]) }?.code == .invalidArgument)
    server.join()

    let plain = try FakeServer { end in
      var capabilities = FakeServer.capabilities
      capabilities.supportsWriteMultiple = nil
      try end.greet(capabilities: capabilities)
    }
    let other = try plain.connect()
    #expect(clientError { try other.writeMultiple(writes) }?.code == .unsupported)
  }

  @Test("V8: pipelined reads may be collected in any order")
  func pipelined() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      var messages: [TestPeer.Message] = []
      for _ in 0..<40 { messages.append(try #require(try end.next())) }
      // Nothing was answered before everything had been sent.
      for message in messages {
        if message.header.command == .regionRead {
          let value = message.payload[0]
          try end.reply(to: message, FakeServer.readReply(message, [value, 0, 0, 0]))
        } else {
          try end.reply(to: message, Array(message.payload.prefix(16)))
        }
      }
    }
    let client = try server.connect()
    let region = try client.region(at: 0)
    var reads: [PendingReply] = []
    var writes: [PendingReply] = []
    for index in 0..<20 {
      reads.append(try region.startRead(at: RegionOffset(UInt64(index)), byteCount: 4))
      writes.append(try region.startWrite(at: RegionOffset(0), from: [1, 2].rawSpan))
    }
    for (index, pending) in reads.enumerated().reversed() {
      #expect(try client.finishRead(pending) == UInt64(index))
    }
    for pending in writes { try client.finishWrite(pending) }
    let again = clientError { try client.finishWrite(writes[0]) }
    #expect(again?.code == .invalidArgument)
    #expect(clientError { _ = try client.finishRead(writes[1]) }?.code == .invalidArgument)
    server.join()
  }

  @Test("A thousand outstanding replies are the limit")
  func tooManyPending() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      while try end.next() != nil {}
    }
    let region = try server.connect().region(at: 0)
    for _ in 0..<1024 { _ = try region.startRead(at: RegionOffset(0), byteCount: 1) }
    let error = clientError { _ = try region.startRead(at: RegionOffset(0), byteCount: 1) }
    #expect(error?.code == .tooManyPending)
    region.client.close()
    server.join()
  }

  @Test("A refused command throws the server's error number and the connection goes on")
  func rejected() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.refuse(try end.expect(.deviceReset), .resourceBusy)
      try end.reply(to: try end.expect(.deviceReset))
      try end.refuse(try end.expect(.deviceGetRegionInfo), .invalidArgument)
    }
    let client = try server.connect()
    #expect(clientError { try client.reset() } == ClientError(.rejected, .resourceBusy, ""))
    try client.reset()
    let error = clientError { _ = try client.region(at: 9) }
    #expect(error == ClientError(.rejected, .invalidArgument, ""))
    #expect(client.connectionFailure == nil)
    server.join()
  }

  @Test("Threads that call at the same time each get their own replies")
  func threads() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      while let message = try end.next(timeout: .seconds(60)) {
        let low = Array(message.payload.prefix(4))
        try end.reply(to: message, FakeServer.readReply(message, low))
      }
    }
    let region = try server.connect().region(at: 0)
    let failures = Atomic<Int>(0)
    do {
      let threads = (0..<4).map { number in
        TestThread {
          for turn in 0..<300 {
            let offset = UInt64(number * 1000 + turn)
            let value = try? region.read(at: RegionOffset(offset), as: UInt32.self)
            if value != UInt32(offset) { failures.add(1, ordering: .relaxed) }
          }
        }
      }
      for thread in threads { thread.join() }
    }
    #expect(failures.load(ordering: .relaxed) == 0)
    region.client.close()
    server.join()
  }

  @Test(
    "Polling for replies changes nothing but the time", arguments: [PollingMode.adaptive, .always])
  func polling(mode: PollingMode) throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      for value in 0..<50 {
        let read = try end.expect(.regionRead)
        if value == 25 { usleep(2000) }
        try end.reply(to: read, FakeServer.readReply(read, [UInt8(value)]))
      }
    }
    let region = try server.connect { $0.polling = mode }.region(at: 0)
    for value in 0..<50 {
      #expect(try region.read(at: RegionOffset(0), as: UInt8.self) == UInt8(value))
    }
    server.join()
  }

  @Test("Features and migration data are exchanged as messages")
  func features() throws {
    let server = try FakeServer { end in
      try end.greet()
      let get = try end.expect(.deviceFeature)
      #expect(get.payload == hex("10000000 01000100"))
      try end.reply(
        to: get,
        DeviceFeature(.migration, .get, data: MigrationFeature.stopCopy.encodedData())
          .encodedPayload())
      let read = try end.expect(.migrationDataRead)
      try end.reply(to: read, MigrationData([1, 2, 3]).encodedPayload())
      let write = try end.expect(.migrationDataWrite)
      #expect(try MigrationData(decoding: write.payload.rawSpan).data == [4, 5])
      try end.reply(to: write)
      let long = try end.expect(.migrationDataRead)
      try end.reply(to: long, MigrationData([1, 2, 3]).encodedPayload())
    }
    let client = try server.connect()
    let feature = try client.deviceFeature(
      DeviceFeature(.migration, .get), maximumReplyByteCount: 8)
    #expect(try MigrationFeature(decoding: feature.data.rawSpan) == .stopCopy)
    #expect(try client.readMigrationData(byteCount: 100) == [1, 2, 3])
    try client.writeMigrationData([4, 5])
    #expect(
      clientError { _ = try client.readMigrationData(byteCount: 2) }?.code == .protocolViolation)
    server.join()
  }
}
