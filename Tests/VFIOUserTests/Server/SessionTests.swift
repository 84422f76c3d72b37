import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Sessions") struct SessionTests {
  @Test("E1: an access of 1, 2, 4 or 8 bytes reads back what was written", arguments: [1, 2, 4, 8])
  func roundTrip(width: Int) throws {
    let rig = try TestRig()
    let data = (0..<width).map { UInt8(0xa0 + $0) }
    try rig.write(0, 0x40, data)
    #expect(try rig.read(0, 0x40, UInt32(width)) == data)
    #expect(rig.device.memory.writeCount == 1)
  }

  @Test("A megabyte read is answered whole, beyond the socket's buffer")
  func largeRead() throws {
    let rig = try TestRig()
    rig.device.memory.bytes[4095] = 7
    #expect(try rig.read(0, 0, 4096).last == 7)
  }

  @Test("V8: pipelined commands are answered in order, and a posted write before the next reply")
  func pipelining() throws {
    let rig = try TestRig()
    var numbers: [UInt16] = []
    for value in 0..<50 {
      try rig.peer.send(
        .regionWrite, TestPeer.writePayload(0, 0, [UInt8(value)]), flags: .noReply)
      numbers.append(try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 1)))
    }
    try rig.work()
    for (value, number) in numbers.enumerated() {
      let reply = try #require(try rig.peer.receive())
      #expect(reply.header.messageID == number)
      #expect(reply.payload.last == UInt8(value))
    }
    #expect(try rig.peer.receive() == nil)
  }

  @Test("A message that arrives byte by byte is answered once it is whole")
  func partialMessages() throws {
    let rig = try TestRig()
    let header = MessageHeader(messageID: 7, command: .regionRead, payloadByteCount: 16)
    for byte in TestPeer.frame(header, TestPeer.readPayload(0, 0, 4)) {
      #expect(try rig.peer.receive() == nil)
      try rig.peer.sendRaw([byte])
      try rig.work()
    }
    #expect(try rig.peer.receive()?.payload.count == 20)
  }

  @Test("A deferred access is answered when the device says so, and holds back what is behind it")
  func deferral() throws {
    let rig = try TestRig()
    let slow = try rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    let fast = try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    #expect(try rig.turn() == nil)
    try #require(rig.device.slow.replies.count == 1)
    rig.device.slow.replies[0].complete(with: [1, 2, 3, 4])
    let first = try #require(try rig.turn())
    #expect(first.header.messageID == slow)
    #expect(Array(first.payload.suffix(4)) == [1, 2, 3, 4])
    #expect(try rig.peer.receive()?.header.messageID == fast)
    rig.device.slow.replies[0].complete(with: [9])
    #expect(try rig.turn() == nil, "a second completion is harmless")
  }

  @Test("A context that outlives its handler defers nothing")
  func lateDeferral() throws {
    let rig = try TestRig()
    rig.device.slow.keepsContext = true
    defer { rig.device.slow.kept = nil }
    try rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try rig.work()
    rig.device.slow.replies[0].complete(with: [1, 2, 3, 4])
    #expect(rig.device.slow.kept?.deferReply() == nil)
    #expect(try rig.turn() != nil)
    #expect(rig.device.slow.kept?.deferReply() == nil)
    #expect(try rig.turn() == nil)
  }

  @Test("A deferred reply that is dropped answers EIO")
  func droppedDeferral() throws {
    let rig = try TestRig()
    try rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try rig.work()
    rig.device.slow.replies = []
    #expect(try rig.turn()?.header.failure == .ioError)
  }

  @Test("E9: a reset voids a deferred access, and its late completion is not seen")
  func resetVoids() throws {
    let rig = try TestRig()
    try rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try rig.work()
    let reset = try rig.peer.send(.deviceReset)
    let voided = try #require(try rig.turn())
    #expect(voided.header.failure == .canceled)
    #expect(try rig.peer.receive()?.header.messageID == reset)
    #expect(rig.device.events.contains("reset device"))
    rig.device.slow.replies[0].complete(with: [1, 2, 3, 4])
    #expect(try rig.turn() == nil)
    #expect(try rig.read(0, 0, 1) == [0])
  }

  /// A DEVICE_RESET that is refused.
  enum RefusedReset: CaseIterable { case payload, descriptors, noSuchReset }

  @Test(
    "E9, V6: a reset that is refused voids nothing, and waits its turn",
    arguments: RefusedReset.allCases)
  func refusedReset(_ fault: RefusedReset) throws {
    let rig = try TestRig(flags: fault == .noSuchReset ? [] : .reset)
    let read = try rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try rig.work()
    let event = try EventDescriptor()
    let reset = try rig.peer.send(
      .deviceReset, fault == .payload ? [1, 2, 3, 4] : [],
      descriptors: fault == .descriptors ? [event.rawValue] : [])
    #expect(try rig.turn() == nil)
    rig.device.slow.replies[0].complete(with: [1, 2, 3, 4])
    let answer = try #require(try rig.turn())
    #expect(answer.header.messageID == read)
    #expect(answer.payload.suffix(4) == [1, 2, 3, 4])
    let refusal = try #require(try rig.turn())
    #expect(refusal.header.messageID == reset)
    #expect(refusal.header.failure == .invalidArgument)
    #expect(!rig.device.events.contains { $0.hasPrefix("reset") })
  }

  @Test("E10: a device that is not quiet yet holds back the reset's reply and later commands")
  func quiesceLater() throws {
    let rig = try TestRig()
    rig.device.holdsQuiesce = true
    try rig.peer.send(.deviceReset)
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 1))
    #expect(try rig.turn() == nil)
    #expect(!rig.device.events.contains("reset device"))
    rig.device.quiesceCompletion?.done()
    #expect(try rig.turn()?.header.command == .deviceReset)
    #expect(try rig.turn()?.header.command == .regionRead)
  }

  @Test("V11: the device's state stays when its client goes, its memory and interrupts do not")
  func disconnect() throws {
    let rig = try TestRig()
    try rig.write(0, 0, [0x5a])
    let file = try SharedMemory(byteCount: 4096)
    #expect(try rig.map(0x1000, 4096, file: file.rawDescriptor) == nil)
    try rig.hangUp()
    #expect(rig.end == .clientClosed)
    #expect(rig.device.events.suffix(1) == ["disconnected"])
    #expect(!rig.host.isOccupied)
    try rig.reconnect()
    #expect(try rig.read(0, 0, 1) == [0x5a])
    #expect(rig.host.table.count == 0)
  }

  @Test("Policy reset: the device is reset when its client goes")
  func resetOnDisconnect() throws {
    var options = DeviceOptions()
    options.onDisconnect = .reset
    let rig = try TestRig(options: options)
    try rig.hangUp()
    #expect(rig.device.events.suffix(2) == ["disconnected", "reset connectionLost"])
  }

  @Test("WRITE_MULTI carries out every write in order")
  func writeMulti() throws {
    let rig = try TestRig()
    let entries = (0..<200).map {
      RegionWriteMulti.Entry(
        offset: RegionOffset(UInt64($0)), region: 0, count: 1, data: UInt64($0))
    }
    let reply = try rig.call(RegionWriteMulti(entries))
    #expect(reply.payload == [200, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(rig.device.memory.bytes.prefix(200)) == (0..<200).map { UInt8($0) })
  }

  @Test("WRITE_MULTI reaches ranges of other loops there, and refuses a write across two of them")
  func writeMultiOnLoops() throws {
    let thread = try LoopThread(name: "other", polling: .never)
    defer { thread.end() }
    let rig = try TestRig(remoteLoop: thread.loop)
    func entry(_ region: UInt32, _ offset: UInt64, _ data: UInt64) -> RegionWriteMulti.Entry {
      RegionWriteMulti.Entry(offset: RegionOffset(offset), region: region, count: 8, data: data)
    }
    func reply(_ message: some WireMessage) throws -> TestPeer.Message? {
      try rig.peer.send(message)
      var reply: TestPeer.Message?
      try rig.work {
        reply = try rig.peer.receive()
        return reply != nil
      }
      return reply
    }
    for place: UInt64 in [28, 60] {
      let refusal = try reply(RegionWriteMulti([entry(0, 0, 1), entry(6, place, .max)]))
      #expect(refusal?.header.failure == .invalidArgument)
    }
    #expect(rig.device.memory.writeCount == 0)
    let entries = [entry(0, 0, 1), entry(6, 0, 2), entry(6, 56, 3), entry(6, 64, 4)]
    #expect(try reply(RegionWriteMulti(entries))?.payload == [4, 0, 0, 0, 0, 0, 0, 0])
    // What the other thread has written is seen once it has ended.
    thread.end()
    #expect(rig.device.remote.bytes == [2] + [UInt8](repeating: 0, count: 31))
    #expect(rig.device.remoteToo.bytes[24] == 3)
    #expect(!rig.device.remoteToo.bytes.contains(0xff))
    #expect(rig.device.besideRemote.bytes == [4] + [UInt8](repeating: 0, count: 63))
  }

  @Test("A range of another loop is answered from there, in order")
  func otherLoop() throws {
    let other = try EventLoop(polling: .never)
    let rig = try TestRig(remoteLoop: other)
    try rig.peer.send(.regionWrite, TestPeer.writePayload(6, 0, [1, 2]))
    try rig.peer.send(.regionRead, TestPeer.readPayload(6, 0, 2))
    #expect(try rig.peer.receive() == nil)
    // One thread plays both loops here; which handler runs where is checked with real threads.
    for _ in 0..<4 {
      try other.runOnce(timeout: .zero)
      try rig.work()
    }
    #expect(try rig.peer.receive()?.header.command == .regionWrite)
    #expect(try rig.peer.receive()?.payload.suffix(2) == [1, 2])
  }
}
