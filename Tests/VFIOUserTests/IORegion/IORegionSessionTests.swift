import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// Descriptors and the rest of a session: asking, fences, resets, the end.
@Suite("I18: ioregionfds in a session, on epoll and io_uring") struct IORegionSessionTests {
  // MARK: Asking

  @Test("A region without paths, and what cannot be offered, is answered without descriptors")
  func nothingToOffer() throws {
    let contradictions: [RegionPath] = [
      RegionPath(offset: RegionOffset(0), byteCount: 16, kind: .message),
      .region(4095, 2), .region(.max, 2), .region(0, 0), .event(0, 3), .event(4096, 1),
      .event(0x2fe, 4), .event(0x5fe, 4), .region(0x280, 0x100),
      RegionPath(offset: RegionOffset(0), byteCount: 16, kind: .postedMessage),
    ]
    let rig = try PathRig(.epoll, contradictions)
    let answer = try rig.ask()
    #expect(answer.entries.isEmpty && answer.ports.isEmpty && answer.neededByteCount == 16)
  }

  @Test("Of paths that contradict each other the first is offered")
  func contradictions() throws {
    let paths: [RegionPath] = [
      .region(0, 0x20), .region(0x1f, 0x20), .event(0x10, 4), .event(0x10, 4, matching: 1),
      .event(0x14, 4, matching: 1), .event(0x14, 4, matching: 1), .event(0x14, 4, matching: 2),
      .event(0x14, 2, matching: 1), .region(0x20, 0x20),
    ]
    let entries = try PathRig(.epoll, paths).ask().entries
    #expect(
      entries.map(\.offset.rawValue) == [0, 0x10, 0x14, 0x14, 0x14, 0x20])
  }

  @Test("I23: a client without extensions gets what the specification has, others what they offer")
  func extensions() throws {
    let paths: [RegionPath] = [
      RegionPath(offset: RegionOffset(0), byteCount: 16, kind: .postedMessage),
      .region(0x20, 16),
    ]
    #expect(try PathRig(.epoll, paths).ask().entries.map(\.kind) == [.ioregionfd])
    let rig = try PathRig(.epoll, paths, capabilities: PathRig.capabilities([.posted]))
    let answer = try rig.ask()
    #expect(answer.entries.map(\.kind) == [.postedMessage, .ioregionfd])
    #expect(answer.entries.map(\.descriptorIndex) == [.max, 0])
    var options = DeviceOptions()
    options.extensions = []
    let old = try PathRig(
      .epoll, paths, capabilities: PathRig.capabilities([.posted]), options: options)
    #expect(try old.ask().entries.map(\.kind) == [.ioregionfd])
  }

  @Test("I23: a client that says nothing of descriptors gets one, and the rest by messages")
  func silentClient() throws {
    let paths: [RegionPath] = [
      .event(0, 4), .region(0, 0x20), .event(8, 4), .region(0x20, 8, group: 1),
    ]
    let rig = try PathRig(.epoll, paths, capabilities: nil)
    #expect(try rig.ask().entries.map(\.offset.rawValue) == [0])
    let few = try PathRig(.epoll, paths, capabilities: PathRig.capabilities(descriptors: 3))
    let answer = try few.ask()
    #expect(answer.entries.map(\.descriptorIndex) == [0, 1, 2] && answer.ports.count == 3)
  }

  @Test("As many descriptors as one message carries are sent in one")
  func manyDescriptors() throws {
    let paths = (0..<300).map { RegionPath.event(UInt64($0 % 64) * 4, 4, matching: UInt64($0)) }
    let rig = try PathRig(.epoll, paths)
    let answer = try rig.ask()
    #expect(answer.entries.count == 253 && answer.ports.count == 253)
    answer.ports[252].signal()
    try rig.work()
    #expect(rig.device.registers.accesses == [.notified(UInt64(252 % 64) * 4, 4, 252)])
  }

  @Test("A client whose argsz is too small learns the length, and no descriptor is made for it")
  func smallArgument() throws {
    let rig = try PathRig(.epoll, [.region(0, 0x10), .event(0, 4)])
    let before = TestRig.openDescriptorCount
    let answer = try rig.ask(limit: 95)
    #expect(answer.isIncomplete && answer.neededByteCount == 96 && answer.ports.isEmpty)
    #expect(TestRig.openDescriptorCount == before)
    #expect(try rig.ask(limit: 96).entries.count == 2)
  }

  @Test(
    "Each question gets a descriptor of its own, of which eight are served; the oldest goes first",
    arguments: ServingEngine.available)
  func liveEnds(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x10), .event(0x20, 4)])
    let answers = try (0..<10).map { _ in try rig.ask() }
    for (index, answer) in answers.enumerated() {
      #expect(answer.ports[0].isClosed == (index < 2))
      if index >= 2 {
        #expect(try rig.read(0, 4, answer.entries[0].value, on: answer.ports[0]) == 0)
      }
    }
    // The eventfd is the same one each time.
    answers[0].ports[1].signal()
    answers[9].ports[1].signal()
    try rig.work()
    let notifications = rig.device.registers.accesses.filter { $0 == .notified(0x20, 4, nil) }
    #expect((1...2).contains(notifications.count))
    #expect(rig.log.all.isEmpty)
  }

  @Test(
    "I2: a client that closes its end is forgotten without a word, and may ask again",
    arguments: ServingEngine.available)
  func clientCloses(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x10, posts: true)])
    let before = TestRig.openDescriptorCount
    for _ in 0..<20 {
      let answer = try rig.ask()
      // What was sent before still counts.
      try answer.ports[0].send(
        .write(1, at: 0, byteCount: 4, userData: answer.entries[0].value, isPosted: true))
    }
    try rig.work()
    #expect(rig.device.registers.accesses.count == 20)
    #expect(TestRig.openDescriptorCount <= before + (engine == .ring ? 1 : 0))
    #expect(rig.log.all.isEmpty)
    let answer = try rig.ask()
    #expect(try rig.read(0, 4, answer.entries[0].value, on: answer.ports[0]) == 1)
  }

  // MARK: ioeventfds

  @Test("E2: a signal reaches the handler with the path's place, size and value; several may merge")
  func notifications() throws {
    let rig = try PathRig(
      .epoll,
      [
        .event(0x10, 4, matching: 7), .event(0x10, 4, matching: 8), .event(0x318, 0),
        .event(0x50, 2),
      ])
    let answer = try rig.ask()
    answer.ports[1].signal()
    answer.ports[2].signal()
    try rig.work()
    #expect(rig.device.registers.accesses == [.notified(0x10, 4, 8)])
    #expect(rig.device.remote.accesses == [.notified(0x18, 0, nil)])
    for _ in 0..<1000 { answer.ports[3].signal() }
    try rig.work()
    #expect(rig.device.registers.accesses.last == .notified(0x50, 2, nil))
    #expect(rig.device.registers.accesses.count < 100)
  }

  @Test("Without an implementation, a signal is a posted write of the value")
  func defaultNotification() throws {
    final class Plain: RegionHandler {
      let target = RecordingRegion(byteCount: 64)
      func read(
        at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
      ) throws(Errno) {}
      func write(
        at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
      ) throws(Errno) { try target.write(at: offset, from: bytes, access) }
    }
    let plain = Plain()
    plain.notified(at: RegionOffset(4), byteCount: 2, value: 0x1_0203)
    plain.notified(at: RegionOffset(8), byteCount: 0, value: nil)
    plain.notified(at: RegionOffset(16), byteCount: 8, value: .max)
    #expect(
      plain.target.accesses == [
        .write(4, 0x203, 2, isPosted: true), .write(8, 0, 4, isPosted: true),
        .write(16, .max, 8, isPosted: true),
      ])
  }

  // MARK: Fences

  @Test(
    "E10: while a reset waits for the device nothing gets in by any descriptor, on any loop",
    arguments: ServingEngine.available)
  func fences(engine: ServingEngine) throws {
    let rig = try PathRig(
      engine, [.region(0, 0x10), .region(0x300, 0x10), .event(0x20, 4), .event(0x320, 4)])
    let answer = try rig.ask()
    rig.device.holdsQuiesce = true
    try rig.peer.send(.deviceReset)
    try rig.work()
    #expect(rig.device.quiesceCompletion != nil)
    for index in 0...1 {
      try answer.ports[index].send(
        .read(at: 0, byteCount: 4, userData: answer.entries[index].value))
    }
    answer.ports[2].signal()
    answer.ports[3].signal()
    try rig.work()
    #expect(rig.device.registers.accesses.isEmpty && rig.device.remote.accesses.isEmpty)
    rig.device.quiesceCompletion?.done()
    try rig.work()
    #expect(rig.device.events.last == "reset device")
    #expect(try rig.peer.receive()?.header.command == .deviceReset)
    #expect(answer.ports[0].response()?.count == 32)
    #expect(answer.ports[1].response()?.count == 32)
    #expect(rig.device.registers.accesses.count == 2 && rig.device.remote.accesses.count == 2)
    rig.device.holdsQuiesce = false
    // Afterwards all is as before.
    #expect(try rig.call(.deviceReset).header.failure == nil)
    #expect(try rig.read(0, 4, answer.entries[0].value, on: answer.ports[0]) == 0)
    #expect(try rig.read(0, 4, answer.entries[1].value, on: answer.ports[1]) == 0)
    #expect(rig.log.all.isEmpty)
  }

  @Test(
    "E9: a reset voids an access that waits: all-ones, and its late answer is not seen",
    arguments: ServingEngine.available, [UInt64(0x100), 0x400])
  func resetVoids(engine: ServingEngine, offset: UInt64) throws {
    let rig = try PathRig(engine, [.region(offset, 0x100)])
    let answer = try rig.ask()
    let (port, userData) = (answer.ports[0], answer.entries[0].value)
    #expect(try rig.read(0, 2, userData, on: port) == nil)
    #expect(try rig.call(.deviceReset).header.failure == nil)
    #expect(port.response()?.prefix(8) == [0xff, 0xff, 0, 0, 0, 0, 0, 0])
    let slow = offset == 0x100 ? rig.device.slow : rig.device.remoteSlow
    #expect(try rig.read(4, 2, userData, on: port) == nil)
    slow.replies[0].complete(with: [1, 2])
    try rig.work()
    #expect(port.response() == nil)
    slow.replies[1].complete(with: [3, 4])
    try rig.work()
    #expect(port.response()?.prefix(8) == [3, 4, 0, 0, 0, 0, 0, 0])
  }

  @Test(
    "E9: a write over a descriptor that itself asks for the reset is answered after it",
    arguments: ServingEngine.available)
  func resetByDescriptor(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0x100, 0x100), .region(0, 0x10)])
    let answer = try rig.ask()
    let (port, userData) = (answer.ports[0], answer.entries[0].value)
    rig.device.slow.asksForReset = true
    #expect(try rig.perform(.write(1, at: 0, byteCount: 4, userData: userData), on: port) == nil)
    rig.device.holdsQuiesce = true
    try #require(rig.device.services).fence(.reset(.functionLevel)) { [rig] in
      rig.device.reset(.functionLevel)
      rig.device.slow.replies.removeLast().complete()
    }
    // Behind it in the socket, and held back by the fence.
    try port.send(.read(at: 0, byteCount: 4, userData: answer.entries[1].value))
    try rig.work()
    #expect(port.response() == nil && rig.device.registers.accesses.isEmpty)
    rig.device.quiesceCompletion?.done()
    rig.device.holdsQuiesce = false
    try rig.work()
    #expect(rig.device.events.last == "reset functionLevel")
    #expect(port.response() == [UInt8](repeating: 0, count: 32))
    #expect(port.response()?.count == 32)
    #expect(rig.device.registers.accesses == [.read(0, 4)])
  }

  @Test("A deferred access is answered from any thread, and all-ones when its reply is dropped")
  func deferredAnswers() throws {
    let rig = try PathRig(.epoll, [.region(0x100, 0x100)])
    let answer = try rig.ask()
    let (port, userData) = (answer.ports[0], answer.entries[0].value)
    #expect(try rig.read(0, 4, userData, on: port) == nil)
    let reply = rig.device.slow.replies.removeLast()
    TestThread { reply.complete(with: [1, 0, 0, 0]) }.join()
    try rig.work()
    #expect(port.response()?.first == 1)
    #expect(try rig.perform(.write(1, at: 0, byteCount: 4, userData: userData), on: port) == nil)
    rig.device.slow.replies = []
    try rig.work()
    #expect(port.response() != nil)
    #expect(try rig.read(0, 4, userData, on: port) == nil)
    rig.device.slow.replies = []
    try rig.work()
    #expect(port.response()?.prefix(5) == [0xff, 0xff, 0xff, 0xff, 0])
    // Nobody waits for a posted write, so it cannot be deferred.
    try port.send(.write(1, at: 0, byteCount: 4, userData: userData, isPosted: true))
    try rig.work()
    #expect(rig.device.slow.posted == 1 && rig.device.slow.replies.isEmpty)
  }

  // MARK: The end

  @Test(
    "V11: with the session every descriptor goes, whatever was in progress",
    arguments: ServingEngine.available)
  func sessionEnds(engine: ServingEngine) throws {
    let before = TestRig.openDescriptorCount
    do {
      let rig = try PathRig(
        engine,
        [
          .region(0, 0x10), .region(0x100, 0x10, group: 1), .region(0x400, 0x10, group: 2),
          .event(0x20, 4), .event(0x320, 4),
        ])
      let answer = try rig.ask()
      #expect(try rig.read(0, 4, answer.entries[1].value, on: answer.ports[1]) == nil)
      #expect(try rig.read(0, 4, answer.entries[2].value, on: answer.ports[2]) == nil)
      #expect(!rig.device.slow.replies.isEmpty && !rig.device.remoteSlow.replies.isEmpty)
      rig.peer.channel.shutDown()
      try rig.work()
      for index in 0...2 { #expect(answer.ports[index].isClosed) }
      #expect(rig.device.events.last == "disconnected")
      // Late answers and signals find nothing.
      rig.device.slow.replies[0].complete()
      rig.device.remoteSlow.replies[0].complete()
      answer.ports[3].signal()
      answer.ports[4].signal()
      try rig.work()
      #expect(rig.device.registers.accesses.isEmpty && rig.device.remote.accesses.isEmpty)
      try rig.reconnect()
      let again = try rig.ask()
      #expect(try rig.read(0, 4, again.entries[0].value, on: again.ports[0]) == 0)
    }
    #expect(TestRig.openDescriptorCount == before)
  }

  // MARK: Changes

  @Test("I22: a device that changes its paths tells a client that agreed to hear it, no other")
  func regionChanged() throws {
    let rig = try PathRig(
      .epoll, [.region(0, 0x10)], capabilities: PathRig.capabilities([.regionChanged]))
    let old = try rig.ask()
    let services = try #require(rig.device.services)
    services.setPaths([.region(0, 0x20), .event(0, 4)], ofRegion: 0)
    try rig.work()
    let message = try #require(try rig.peer.receive())
    #expect(message.header.command == .regionChanged && !message.header.wantsReply)
    #expect(try RegionChanged(decoding: message.payload.rawSpan).index == 0)
    services.setPaths([.region(0, 0x20), .event(0, 4)], ofRegion: 0)
    try rig.work()
    #expect(try rig.peer.receive() == nil)
    #expect(try rig.ask().entries.map(\.byteCount) == [0x20, 4])
    // What the client has got stays good until it lets go of it.
    #expect(try rig.read(0, 4, old.entries[0].value, on: old.ports[0]) == 0)
    let silent = try PathRig(.epoll, [.region(0, 0x10)])
    try #require(silent.device.services).setPaths([], ofRegion: 0)
    try silent.work()
    #expect(try silent.peer.receive() == nil)
    #expect(try silent.ask().entries.isEmpty)
  }

  @Test(
    "I22: signals without a value that came at run time are for those who hear of their end",
    arguments: [false, true])
  func valuelessEvents(isTold: Bool) throws {
    let rig = try PathRig(
      .epoll, [.event(0, 4)],
      capabilities: PathRig.capabilities(isTold ? [.regionChanged] : []))
    let paths = [
      RegionPath.event(0, 4), .event(8, 4), .event(16, 4, matching: 1), .region(0, 0x20),
    ]
    try #require(rig.device.services).setPaths(paths, ofRegion: 0)
    try rig.work()
    #expect(try (rig.peer.receive() != nil) == isTold)
    let offsets = try rig.ask().entries.map(\.offset.rawValue)
    #expect(offsets == (isTold ? [0, 8, 16, 0] : [0, 16, 0]))
  }
}
