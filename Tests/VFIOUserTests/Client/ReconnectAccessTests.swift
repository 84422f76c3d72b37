import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// What becomes of accesses when the server goes.
@Suite("Accesses across a loss") struct ReconnectAccessTests {
  @Test("V12: a loss is noticed while no call is in flight, and made good without one")
  func idle() throws {
    let first = try LiveServer()
    let rig = ReconnectRig(.path(first.path))
    let client = try rig.connect()
    let region = try client.region(at: 0)
    try region.write(UInt32(1), at: RegionOffset(0))
    rig.set(.nothing)
    first.stop()
    #expect(rig.waitsForLoss())
    #expect(rig.waits { $0.contains { if case .attemptFailed = $0 { true } else { false } } })
    #expect(!client.isConnected && client.failure == nil && client.capabilities == nil)
    let second = try LiveServer()
    rig.set(.path(second.path))
    #expect(rig.waitsForRestorations())
    #expect(client.isConnected)
    // A new device, the same object.
    #expect(try region.read(at: RegionOffset(0), as: UInt32.self) == 0)
    let numbers = rig.events.compactMap { event -> Int? in
      if case .attempting(let number) = event { number } else { nil }
    }
    #expect(numbers == Array(1...numbers.count))
    #expect(rig.events.last == .restored(attempts: numbers.count))
  }

  @Test("V12: a call that comes while the server is away is sent when it is back")
  func waiting() throws {
    let first = try LiveServer()
    let rig = ReconnectRig(.path(first.path))
    let client = try rig.connect()
    let region = try client.region(at: 0)
    rig.set(.nothing)
    first.stop()
    #expect(rig.waitsForLoss())
    let outcomes = Mutex<[ClientError?]>([])
    let entered = Atomic<Int>(0)
    let threads = (0..<4).map { number in
      TestThread {
        entered.add(1, ordering: .releasing)
        let error = clientError {
          if number == 3 {
            try region.post(UInt32(7), at: RegionOffset(12))
          } else {
            try region.write(UInt32(number + 1), at: RegionOffset(UInt64(4 * number)))
          }
        }
        outcomes.withLock { $0.append(error) }
      }
    }
    let limit = MonotonicTime.now.advanced(by: .seconds(60))
    while entered.load(ordering: .acquiring) < 4, MonotonicTime.now < limit { usleep(1000) }
    #expect(entered.load(ordering: .acquiring) == 4)
    // Each is about to call; whoever does not wait there has an outcome by then.
    usleep(50_000)
    #expect(outcomes.withLock { $0.isEmpty })
    let second = try LiveServer()
    rig.set(.path(second.path))
    for thread in threads { thread.join() }
    #expect(outcomes.withLock { $0.allSatisfy { $0 == nil } })
    for number in 0..<3 {
      let value: UInt32 = try region.read(at: RegionOffset(UInt64(4 * number)))
      #expect(value == UInt32(number + 1))
    }
    #expect(try region.read(at: RegionOffset(12), as: UInt32.self) == 7)
    try second.onLoop { #expect($0.memory.writeCount == 4) }
  }

  @Test("V12: a call waits at most its time-out for a server that is away, which is searched on")
  func bounded() throws {
    let first = try LiveServer()
    let rig = ReconnectRig(.path(first.path))
    let client = try rig.connect()
    let region = try client.region(at: 0)
    client.options.timeout = .milliseconds(120)
    rig.set(.nothing)
    first.stop()
    #expect(rig.waitsForLoss())
    let calls: [() throws -> Void] = [
      { try region.write(UInt32(1), at: RegionOffset(0)) },
      { _ = try region.read(at: RegionOffset(0), as: UInt8.self) },
      { try region.post(UInt32(1), at: RegionOffset(0)) }, { try client.reset() },
      { try client.maskInterrupts(index: 2) },
      { try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0)) },
    ]
    for call in calls {
      let error = clientError(call)
      #expect(error?.code == .timedOut && error?.mayHaveReachedServer == false)
    }
    #expect(client.failure == nil)
    let second = try LiveServer()
    rig.set(.path(second.path))
    // An attempt that takes too long is made again.
    #expect(rig.waitsForRestorations())
    try client.withClient { $0.limitWaits(to: .seconds(60)) }
    try region.write(UInt32(3), at: RegionOffset(0))
    try second.onLoop { #expect($0.memory.writeCount == 1) }
  }

  @Test("V12: a read in flight is repeated where that was declared safe, and fails elsewhere")
  func inFlight() throws {
    let rig = ReconnectRig(
      .scripts([
        { end in _ = try end.serve(until: .regionRead) },
        { end in
          let again = try end.serve(until: .regionRead)
          let read = try #require(again)
          try end.reply(to: read, FakeServer.readReply(read, [1, 2, 3, 4]))
          _ = try end.serve(until: .regionRead, isGreeting: false)
        },
        { end in
          let next = try end.serve(until: .regionRead)
          let read = try #require(next)
          // Not the one that was in flight.
          #expect(read.payload[0] == 0x80)
          try end.reply(to: read, FakeServer.readReply(read, [9]))
          _ = try end.next()
        },
      ]))
    var policy = ReconnectPolicy.quick
    policy.repeatableReads = [
      RepeatableReads(region: 0, offset: RegionOffset(0x40), byteCount: 0x40)
    ]
    let client = try rig.connect(policy)
    let region = try client.region(at: 0)
    #expect(try region.read(at: RegionOffset(0x7c), as: UInt32.self) == 0x0403_0201)
    // One byte beyond the declared range.
    let error = clientError { _ = try region.read(at: RegionOffset(0x7d), as: UInt32.self) }
    #expect(error?.code == .interruptedByReconnect)
    #expect(rig.waitsForRestorations(2))
    #expect(try region.read(at: RegionOffset(0x80), as: UInt8.self) == 9)
    client.close()
    rig.join()
  }

  @Test("V12: reads of PCI configuration space are repeated without being declared")
  func configuration() throws {
    let device = FakeServer.End.Device.pci
    let rig = ReconnectRig(
      .scripts([
        { end in
          // Dies at the first read of configuration space after those of the beginning.
          try end.reply(to: try #require(try end.serve(device, until: .deviceReset)))
          _ = try end.serve(
            device, until: .regionRead, answersConfiguration: false, isGreeting: false)
        },
        { end in _ = try end.serve(device, until: nil, timeout: .seconds(60)) },
      ]))
    let client = try rig.connect()
    let region = try client.region(at: 7)
    try client.reset()
    let word: UInt32 = try region.read(at: RegionOffset(0))
    #expect(word == 0x11e8_1234)
    // Told just after the calls are let through.
    #expect(rig.waitsForRestorations())
    client.close()
    rig.join()
  }

  /// Calls that a server dies in, by the command that it dies at, and whether they are repeated.
  static let calls: [(command: Command, isRepeated: Bool)] = [
    (.regionRead, false), (.regionWrite, false), (.deviceReset, false), (.regionWriteMulti, false),
    (.deviceFeature, false), (.dmaMap, true), (.dmaUnmap, true), (.deviceSetIRQs, true),
    (.deviceGetIRQInfo, true), (.deviceGetRegionIODescriptors, true),
  ]

  /// Makes the call that sends a command.
  static func call(_ command: Command, _ client: ReconnectingClient) throws {
    let region = try client.region(at: 0)
    switch command {
    case .regionRead: _ = try region.read(at: RegionOffset(0), as: UInt32.self)
    case .regionWrite: try region.write(UInt32(1), at: RegionOffset(0))
    case .deviceReset: try client.reset()
    case .regionWriteMulti:
      try client.withClient { client throws(ClientError) in
        try client.writeMultiple([
          RegionWriteMulti.Entry(offset: RegionOffset(0), region: 0, count: 4, data: 1)
        ])
      }
    case .deviceFeature:
      try client.withClient { client throws(ClientError) in
        _ = try client.deviceFeature(DeviceFeature(.migration, .get))
      }
    case .dmaMap:
      try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0x10000))
    case .dmaUnmap: try client.unmapMemory(at: DMAAddress(0), byteCount: 4096)
    case .deviceSetIRQs: _ = try client.enableInterrupts(index: 2, count: 2)
    case .deviceGetIRQInfo: _ = try client.interruptInfo(index: 2)
    case .deviceGetRegionIODescriptors: _ = try client.ioDescriptors(region: region)
    default: Issue.record("no call for \(command)")
    }
  }

  enum Death: CaseIterable, Sendable { case silent, cutReply, garbage }

  @Test(
    "E16, V12: a server that dies in the middle of any call, or answers garbage, is made good",
    arguments: calls, Death.allCases)
  func death(_ call: (command: Command, isRepeated: Bool), _ death: Death) throws {
    let (command, isRepeated) = call
    // Interrupt types are asked about in the beginning: the question after those is the call's.
    let skipped = command == .deviceGetIRQInfo ? 5 : 0
    let dying: ReconnectRig.Script = { end in
      var message = try end.serve(until: command)
      for _ in 0..<skipped {
        let asked = try #require(message)
        try end.reply(
          to: asked,
          IRQInfo(index: UInt32(asked.payload[8]), flags: [.eventfd, .maskable], count: 4)
            .encodedPayload())
        message = try end.serve(until: command, isGreeting: false)
      }
      // The grant that is taken away later.
      if command == .dmaMap {
        let first = try #require(message)
        try end.reply(to: first)
        message = try end.serve(until: command, isGreeting: false)
      }
      let met = try #require(message)
      for raw in met.descriptors { _ = OwnedDescriptor(adopting: raw) }
      switch death {
      case .silent: return
      case .cutReply:
        let header = MessageHeader.reply(to: met.header, payloadByteCount: 100)
        try end.peer.sendRaw(Array(TestPeer.frame(header, []).prefix(12)))
      case .garbage:
        try end.peer.sendRaw([UInt8](repeating: 0xee, count: 64))
        _ = try? end.next()
      }
    }
    let healthy: ReconnectRig.Script = { end in
      _ = try end.serve(until: nil, timeout: .seconds(60))
    }
    let rig = ReconnectRig(.scripts([dying, healthy]))
    let client = try rig.connect()
    try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0))
    let error = clientError { try Self.call(command, client) }
    #expect(error?.code == (isRepeated ? nil : .interruptedByReconnect))
    #expect(rig.waitsForRestorations())
    #expect(try client.region(at: 0).read(at: RegionOffset(0), as: UInt8.self) == 0x5a)
    client.close()
    rig.join()
  }

  @Test("E16: a server that stalls costs a call its time-out, and the connection goes on")
  func stall() throws {
    let rig = ReconnectRig(
      .scripts([
        { end in
          let stalled = try #require(try end.serve(until: .regionWrite))
          let next = try #require(try end.serve(until: .regionRead, isGreeting: false))
          try end.reply(to: stalled, Array(stalled.payload.prefix(16)))
          try end.reply(to: next, FakeServer.readReply(next, [1]))
          _ = try end.next()
        }
      ]))
    let client = try rig.connect()
    let region = try client.region(at: 0)
    client.options.timeout = .milliseconds(150)
    #expect(clientError { try region.write(UInt8(1), at: RegionOffset(0)) }?.code == .timedOut)
    client.options.timeout = .seconds(60)
    #expect(try region.read(at: RegionOffset(0), as: UInt8.self) == 1)
    #expect(rig.events.isEmpty)
    client.close()
    rig.join()
  }

  @Test("A reply that came before the end of the stream counts")
  func lastWords() throws {
    let rig = ReconnectRig(
      .scripts([
        { end in
          let write = try #require(try end.serve(until: .regionWrite))
          try end.reply(to: write, Array(write.payload.prefix(16)))
        }
      ]))
    let client = try rig.connect()
    try client.region(at: 0).write(UInt8(1), at: RegionOffset(0))
    #expect(rig.waitsForLoss())
    client.close()
    rig.join()
  }
}
