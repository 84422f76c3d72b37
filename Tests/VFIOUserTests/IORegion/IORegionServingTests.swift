import Testing

@testable import VFIOUser

/// What travels over an ioregionfd, and what the device makes of it.
@Suite("I18: ioregionfds, device side, on epoll and io_uring") struct IORegionServingTests {
  @Test(
    "I11, I12: each size of read and write has the bytes of the design",
    arguments: ServingEngine.available, [0, 1, 2, 3])
  func goldenFrames(engine: ServingEngine, exponent: Int) throws {
    let rig = try PathRig(engine, [.region(0, 0x100)])
    let answer = try rig.ask()
    let entry = try #require(answer.entries.first)
    #expect(entry.kind == .ioregionfd && entry.flags == 0 && entry.descriptorIndex == 0)
    #expect(entry.offset == RegionOffset(0) && entry.byteCount == 0x100)
    let userData = withUnsafeBytes(of: entry.value.littleEndian) { Array($0) }
    let count = 1 << exponent
    let value = Array(hex("0102030405060708").prefix(count))
    let padded = value + [UInt8](repeating: 0, count: 8 - count)
    let port = answer.ports[0]
    // A write with the response bit, of everything that the field holds.
    try port.send(
      [0x41 | UInt8(exponent) << 4, 0, 0, 0] + hex("00000000") + userData
        + hex("1000000000000000") + hex("0102030405060708"))
    try rig.work()
    #expect(port.response() == [UInt8](repeating: 0, count: 32))
    try port.send(
      [UInt8(exponent) << 4, 0, 0, 0] + hex("00000000") + userData + hex("1000000000000000")
        + hex("ffffffffffffffff"))
    try rig.work()
    #expect(port.response() == padded + [UInt8](repeating: 0, count: 24))
    let number = value.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    #expect(
      rig.device.registers.accesses == [
        .write(0x10, number, count, isPosted: false), .read(0x10, count),
      ])
    #expect(rig.log.all.isEmpty)
  }

  @Test(
    "I13: posted writes and reads of one descriptor are carried out in their order",
    arguments: ServingEngine.available)
  func order(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x100, posts: true)])
    let answer = try rig.ask()
    let (port, userData) = (answer.ports[0], answer.entries[0].value)
    #expect(answer.entries[0].flags == RegionIODescriptor.Flags.regionPostsWrites)
    for number in UInt64(1)...100 {
      try port.send(.write(number, at: 8, byteCount: 8, userData: userData, isPosted: true))
    }
    try port.send(.read(at: 8, byteCount: 8, userData: userData))
    for _ in 0..<20 { try rig.work() }
    #expect(port.response().map { try? IORegionResponse(decoding: $0.rawSpan).data } == 100)
    #expect(port.response() == nil)
    #expect(
      rig.device.registers.accesses
        == (UInt64(1)...100).map { .write(8, $0, 8, isPosted: true) } + [.read(8, 8)])
  }

  @Test(
    "I16: an access that waits holds back those behind it on its descriptor, and no other",
    arguments: ServingEngine.available)
  func oneInFlight(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x200), .region(0x300, 0x100, group: 1)])
    let answer = try rig.ask()
    #expect(answer.ports.count == 2)
    let slow = answer.ports[Int(answer.entries[0].descriptorIndex)]
    let fast = answer.ports[Int(answer.entries[1].descriptorIndex)]
    try slow.send(.read(at: 0x100, byteCount: 4, userData: answer.entries[0].value))
    try slow.send(.read(at: 0x4, byteCount: 4, userData: answer.entries[0].value))
    try rig.work()
    #expect(slow.response() == nil && rig.device.slow.replies.count == 1)
    #expect(rig.device.registers.accesses.isEmpty)
    rig.device.remote.bytes[4] = 7
    #expect(try rig.read(4, 4, answer.entries[1].value, on: fast) == 7)
    rig.device.slow.replies[0].complete(with: [1, 2, 3, 4, 5])
    try rig.work()
    #expect(slow.response()?.prefix(8) == [1, 2, 3, 4, 0, 0, 0, 0])
    #expect(slow.response()?.prefix(8) == [0, 0, 0, 0, 0, 0, 0, 0])
    #expect(rig.device.registers.accesses == [.read(4, 4)])
  }

  @Test(
    "I1, I17: an access is answered while a slow command occupies the session's socket",
    arguments: ServingEngine.available)
  func besideMessages(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x100)])
    let answer = try rig.ask()
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0x100, 4))
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    try rig.work()
    #expect(rig.device.slow.replies.count == 1)
    #expect(try rig.peer.receive() == nil)
    rig.device.registers.bytes[3] = 9
    #expect(try rig.read(3, 1, answer.entries[0].value, on: answer.ports[0]) == 9)
    rig.device.slow.replies[0].complete(with: [1])
    try rig.work()
    #expect(try rig.peer.receive()?.payload.count == 20)
    #expect(try rig.peer.receive()?.payload.suffix(1) == [9])
  }

  @Test(
    "I2: several parts share one descriptor, told apart by their user data",
    arguments: ServingEngine.available)
  func sharedDescriptor(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x10), .region(0x20, 0x10), .region(0x800, 0x10)])
    let answer = try rig.ask()
    #expect(answer.ports.count == 1 && answer.entries.count == 3)
    #expect(Set(answer.entries.map(\.value)).count == 3)
    for index in 0..<256 { rig.device.registers.bytes[index] = UInt8(index) }
    #expect(try rig.read(1, 1, answer.entries[0].value, on: answer.ports[0]) == 1)
    #expect(try rig.read(1, 1, answer.entries[1].value, on: answer.ports[0]) == 0x21)
    // Bytes of the region that nobody claims read as zero, as by message.
    #expect(try rig.read(1, 1, answer.entries[2].value, on: answer.ports[0]) == 0)
    // The last close: the client's end is closed, and the device's goes without a word.
    let witness = answer.ports[0].rawValue
    #expect(witness >= 0)
    #expect(rig.log.all.isEmpty)
  }

  @Test(
    "A handler's error reads as all-ones of the access's width, and drops a write",
    arguments: ServingEngine.available)
  func handlerErrors(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0x200, 0x100)])
    let answer = try rig.ask()
    let (port, userData) = (answer.ports[0], answer.entries[0].value)
    for exponent in 0...3 {
      let expected = UInt64.max.truncated(toByteCount: 1 << exponent)
      #expect(try rig.read(0, 1 << exponent, userData, on: port) == expected)
    }
    #expect(try rig.perform(.write(1, at: 0, byteCount: 4, userData: userData), on: port) == 0)
    #expect(!port.isClosed && rig.log.all.isEmpty)
  }

  @Test(
    "A region's rights hold: a read of what is write-only gives all-ones, a write is dropped",
    arguments: ServingEngine.available)
  func rights(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x100)])
    let readOnly = try rig.ask(2)
    let writeOnly = try rig.ask(3)
    let command = IORegionCommand.write(
      5, at: 0, byteCount: 4, userData: readOnly.entries[0].value)
    #expect(try rig.perform(command, on: readOnly.ports[0]) == 0)
    #expect(rig.device.ports.accesses.isEmpty)
    #expect(
      try rig.read(0, 2, writeOnly.entries[0].value, on: writeOnly.ports[0]) == 0xffff)
    #expect(rig.device.ports.accesses.isEmpty)
  }

  @Test("I7: parts of a port I/O region say so, others do not")
  func portIO() throws {
    let paths = [
      RegionPath.region(0, 0x100, posts: true), .event(0x10, 4), .event(0x14, 4, matching: 3),
    ]
    let rig = try PathRig(.epoll, paths)
    #expect(try rig.ask(0).entries.map(\.flags) == [2, 0, 1])
    let entries = try rig.ask(1).entries
    #expect(entries.map(\.flags) == [3, 2, 3])
    #expect(entries.map(\.kind) == [.ioregionfd, .ioeventfd, .ioeventfd])
    #expect(entries[2].value == 3 && entries[1].value == 0)
  }

  /// What the holder of a descriptor could try.
  struct Attack: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var bytes: @Sendable (_ userData: UInt64) -> [UInt8]

    init(_ name: String, _ bytes: @escaping @Sendable (UInt64) -> [UInt8]) {
      testDescription = name
      self.bytes = bytes
    }

    static func command(
      _ info: UInt32, padding: UInt32 = 0, _ userData: UInt64, _ offset: UInt64
    ) -> [UInt8] {
      [UInt8](byteCount: 32) {
        try? $0.store(info, at: 0)
        try? $0.store(padding, at: 4)
        try? $0.store(userData, at: 8)
        try? $0.store(offset, at: 16)
      }
    }

    static let all = [
      Attack("31 bytes") { Array(command(0, $0, 0).dropLast()) },
      Attack("33 bytes") { command(0, $0, 0) + [0] },
      Attack("a page") { _ in [UInt8](repeating: 0, count: 4096) },
      Attack("no command of that number") { command(2, $0, 0) },
      Attack("a reserved bit") { command(1 << 7, $0, 0) },
      Attack("padding") { command(0, padding: 1, $0, 0) },
      Attack("user data of no part") { command(0, $0 + 2, 0) },
      Attack("user data of another descriptor's part") { command(0, $0 ^ 1 << 32, 0) },
      Attack("user data of nonsense") { command(0, ~$0, 0) },
      Attack("past the part") { command(0, $0, 0x10) },
      Attack("across the part's end") { command(3 << 4, $0, 0xc) },
      Attack("an offset that wraps") { command(3 << 4, $0, .max - 3) },
    ]
  }

  @Test(
    "I15, E17: what is no access to the own parts closes that descriptor with a line, and nothing else",
    arguments: ServingEngine.available, Attack.all)
  func hostileInput(engine: ServingEngine, attack: Attack) throws {
    let rig = try PathRig(engine, [.region(0, 0x10), .region(0x20, 0x10, group: 1)])
    let answer = try rig.ask()
    let again = try rig.ask()
    #expect(try rig.read(0, 4, answer.entries[0].value, on: answer.ports[0]) == 0)
    rig.device.registers.accesses = []
    try answer.ports[0].send(attack.bytes(answer.entries[0].value))
    try rig.work()
    #expect(answer.ports[0].isClosed)
    #expect(rig.log.all.count == 1, "\(rig.log.all)")
    #expect(rig.device.registers.accesses.isEmpty)
    // The other descriptors and the session are as before.
    #expect(try rig.read(4, 4, answer.entries[1].value, on: answer.ports[1]) == 0)
    #expect(try rig.read(4, 4, again.entries[0].value, on: again.ports[0]) == 0)
    #expect(try rig.call(.regionRead, TestPeer.readPayload(0, 0, 4)).header.failure == nil)
    #expect(rig.log.all.count == 1)
  }

  @Test(
    "I18: the tests of engines are those of epoll and of io_uring",
    .enabled(
      if: ServingEngine.available.contains(.ring),
      "this process may have no io_uring: what is served with it was not tested"))
  func ring() {
    #expect(ServingEngine.available == ServingEngine.allCases)
  }

  @Test("E17: a message without bytes closes the descriptor", arguments: ServingEngine.available)
  func emptyMessage(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x10)])
    let answer = try rig.ask()
    try answer.ports[0].send([])
    try rig.work()
    #expect(answer.ports[0].isClosed && rig.log.all.count == 1)
  }

  @Test(
    "E17: a client that reads no responses loses its descriptor, and the loop does not wait for it",
    arguments: ServingEngine.available)
  func noReader(engine: ServingEngine) throws {
    let rig = try PathRig(engine, [.region(0, 0x10)])
    let answer = try rig.ask()
    let read = IORegionCommand.read(at: 0, byteCount: 4, userData: answer.entries[0].value)
    var isClosed = false
    for _ in 0..<10_000 where !isClosed {
      try? answer.ports[0].send(read)
      try rig.loop.runOnce(timeout: .zero)
      isClosed = answer.ports[0].isClosed
    }
    #expect(isClosed && rig.log.all.count == 1)
    #expect(try rig.call(.regionRead, TestPeer.readPayload(0, 0, 4)).header.failure == nil)
  }
}
