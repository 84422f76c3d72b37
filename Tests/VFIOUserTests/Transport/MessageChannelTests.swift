import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Message channels") struct MessageChannelTests {
  /// Two ends of a connection: what is sent byte by byte, and what comes out as messages.
  private final class Ends {
    let sender: OwnedDescriptor
    let receiver: MessageChannel

    init(limit: Int = 4 << 20) throws {
      let pair = try SocketPair()
      sender = try pair.first.duplicate()
      receiver = try MessageChannel(
        adopting: try pair.second.duplicate(), maximumMessageByteCount: limit)
    }

    func send(_ bytes: [UInt8], _ descriptors: [CInt] = []) {
      let sent = bytes.withUnsafeBytes {
        unsafe cvfu_send(sender.rawValue, $0.baseAddress, $0.count, descriptors, descriptors.count)
      }
      #expect(sent == bytes.count)
    }

    /// The numbers of the messages that have arrived, each with its count of descriptors.
    func receive() throws -> [[Int]] {
      var found: [[Int]] = []
      while true {
        while let header = try receiver.nextHeader() {
          receiver.take(header) { payload in
            let content = [UInt8](copying: payload)
            #expect(content == MessageChannelTests.content(header.messageID, content.count))
            found.append([Int(header.messageID), receiver.takeDescriptors().count])
          }
        }
        guard receiver.receive() == .received else { return found }
      }
    }
  }

  private static func content(_ number: UInt16, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(number)) }
  }

  private static func message(_ number: UInt16, _ count: Int = 20) -> [UInt8] {
    TestPeer.frame(
      MessageHeader(messageID: number, command: .regionWrite, payloadByteCount: count),
      content(number, count))
  }

  @Test("Descriptors of merged messages go to the message that they were sent with")
  func merged() throws {
    let ends = try Ends()
    let event = try EventDescriptor()
    ends.send(Self.message(1))
    ends.send(Self.message(2), [event.rawValue])
    ends.send(Self.message(3))
    ends.send(Self.message(4), [event.rawValue, event.rawValue])
    ends.send(Self.message(5))
    #expect(try ends.receive() == [[1, 0], [2, 1], [3, 0], [4, 2], [5, 0]])
    #expect(openCopies(of: event.rawValue) == 1)
  }

  @Test("Descriptors that come with a part of a header wait for their message")
  func partialHeader() throws {
    let event = try EventDescriptor()
    for cut in 1..<36 {
      let ends = try Ends()
      let bytes = Self.message(7)
      ends.send(Self.message(6) + bytes.prefix(0))
      ends.send(Array(bytes.prefix(cut)), [event.rawValue])
      #expect(try ends.receive() == [[6, 0]])
      ends.send(Array(bytes.dropFirst(cut)))
      #expect(try ends.receive() == [[7, 1]])
    }
    #expect(openCopies(of: event.rawValue) == 1)
  }

  @Test("Descriptors sent with the end of one message and the start of the next are the next's")
  func spanning() throws {
    let ends = try Ends()
    let event = try EventDescriptor()
    ends.send(Self.message(1) + Self.message(2).prefix(9), [event.rawValue])
    ends.send(Array(Self.message(2).dropFirst(9)))
    #expect(try ends.receive() == [[1, 0], [2, 1]])
  }

  @Test("Any cutting of a stream gives the same messages and descriptors", arguments: 0..<40)
  func randomPieces(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let ends = try Ends()
    let event = try EventDescriptor()
    var expected: [[Int]] = []
    var found: [[Int]] = []
    for number in 0..<60 {
      let count =
        Int.random(in: 0...3, using: &random) == 0 ? Int.random(in: 0...3, using: &random) : 0
      let size =
        Int.random(in: 0...1, using: &random) == 0 ? 20 : Int.random(in: 0..<3000, using: &random)
      expected.append([number, count])
      var rest = Self.message(UInt16(number), size)[...]
      var descriptors = [CInt](repeating: event.rawValue, count: count)
      while !rest.isEmpty {
        let step =
          Bool.random(using: &random) ? rest.count : Int.random(in: 1...rest.count, using: &random)
        ends.send(Array(rest.prefix(step)), descriptors)
        descriptors = []
        rest = rest.dropFirst(step)
        if Int.random(in: 0..<4, using: &random) == 0 { found += try ends.receive() }
      }
    }
    found += try ends.receive()
    #expect(found == expected)
    #expect(openCopies(of: event.rawValue) == 1)
  }

  @Test("A message far larger than the buffer arrives whole, and the next one behind it")
  func growth() throws {
    let ends = try Ends()
    var found: [[Int]] = []
    var rest = (Self.message(1) + Self.message(2, 3 << 20) + Self.message(3))[...]
    while !rest.isEmpty {
      let step = min(rest.count, 50_000)
      ends.send(Array(rest.prefix(step)))
      rest = rest.dropFirst(step)
      found += try ends.receive()
    }
    #expect(found == [[1, 0], [2, 0], [3, 0]])
  }

  @Test("A message that is being handled stays in place while more is received")
  func pinned() throws {
    let ends = try Ends()
    ends.send(Self.message(1, 1000))
    #expect(ends.receiver.receive() == .received)
    let header = try #require(try ends.receiver.nextHeader())
    var more: [[Int]] = []
    ends.receiver.take(header) { payload in
      for number in 2..<40 {
        ends.send(Self.message(UInt16(number), 5000))
        #expect(ends.receiver.receive() == .received)
        if number % 5 == 0, let found = try? ends.receive() { more += found }
      }
      #expect([UInt8](copying: payload) == Self.content(1, 1000))
    }
    more += try ends.receive()
    #expect(more == (2..<40).map { [$0, 0] })
  }

  @Test("E17: descriptors that nobody took are closed with the channel")
  func unclaimed() throws {
    let event = try EventDescriptor()
    do {
      let ends = try Ends()
      ends.send(Self.message(1), [event.rawValue])
      ends.send(Array(Self.message(2).prefix(3)), [event.rawValue, event.rawValue])
      _ = ends.receiver.receive()
      _ = ends.receiver.receive()
      #expect(openCopies(of: event.rawValue) == 4)
    }
    #expect(openCopies(of: event.rawValue) == 1)
  }

  // MARK: Full sockets

  @Test("E17: a client that reads no replies gets no further commands served, and loses nothing")
  func backpressure() throws {
    let rig = try TestRig()
    let count = 2000
    for _ in 0..<count { try rig.peer.send(.regionRead, TestPeer.readPayload(4, 0, 16384)) }
    try rig.peer.send(.regionWrite, TestPeer.writePayload(0, 0, [1]))
    for _ in 0..<20 {
      try rig.work()
      _ = try rig.peer.channel.flush()
    }
    let limit = Session.backlogLimit
    #expect((limit...(limit + 20000)).contains(rig.session.channel.backlog.byteCount))
    #expect(rig.session.interest == .writable)
    #expect(rig.device.memory.writeCount == 0, "commands wait behind their replies")
    var replies = 0
    while replies <= count {
      _ = try rig.peer.channel.flush()
      let reply = try #require(try rig.peer.receive() ?? rig.turn())
      #expect(reply.header.failure == nil)
      replies += 1
    }
    #expect(rig.device.memory.writeCount == 1)
    #expect(rig.session.channel.backlog.byteCount == 0)
    #expect(rig.session.interest == .readable)
  }

  @Test("E17: a client that stops reading and goes away ends the session")
  func fullThenGone() throws {
    let rig = try TestRig()
    for _ in 0..<2000 { try rig.peer.send(.regionRead, TestPeer.readPayload(4, 0, 16384)) }
    try rig.work()
    try rig.hangUp()
    #expect(rig.end != nil)
    try rig.reconnect()
    #expect(try rig.read(0, 0, 1) == [0])
  }

  @Test("Descriptors of replies wait with them for a full socket")
  func descriptorsThroughFullSocket() throws {
    let rig = try TestRig()
    let request = RegionInfoRequest(index: 4, argumentSize: 4096)
    for _ in 0..<60 {
      try rig.peer.send(.regionRead, TestPeer.readPayload(4, 0, 16384))
      try rig.peer.send(request)
    }
    try rig.work()
    #expect(!rig.session.channel.backlog.isEmpty)
    for _ in 0..<60 {
      let read = try #require(try rig.peer.receive() ?? rig.turn())
      #expect(read.header.command == .regionRead)
      #expect(read.descriptors.isEmpty)
      let info = try #require(try rig.peer.receive() ?? rig.turn())
      #expect(info.header.command == .deviceGetRegionInfo)
      #expect(info.descriptors.count == 1)
      for descriptor in info.descriptors { close(descriptor) }
    }
  }
}
