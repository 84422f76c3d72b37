import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// Descriptors served by real threads.
@Suite("ioregionfds on several loops", .serialized) struct IORegionThreadTests {
  /// Loops that run, a device on them, a server, and a client.
  private final class Machine {
    let loops: [EventLoop]
    private let threads: [TestThread]
    let server: ServerThread
    let client: WaitingPeer

    init(
      _ engine: ServingEngine, polling: PollingMode = .adaptive,
      _ makeDevice: @escaping @Sendable (_ loops: [EventLoop]) -> any ServedDevice
    ) throws {
      let loops = [try EventLoop(polling: polling), try EventLoop(polling: polling)]
      self.loops = loops
      threads = loops.map { loop in TestThread { try? loop.run() } }
      var options = DeviceOptions()
      options.ioRegionEngine = engine.engine
      server = try ServerThread(options: options) { _ in makeDevice(loops) }
      client = try WaitingPeer(path: server.path)
      try client.negotiate()
    }

    func ask() throws -> PathRig.Answer {
      let reply = try client.call(
        RegionIODescriptorsRequest(index: 0, argumentSize: 4096))
      try #require(reply.header.failure == nil)
      let message = try RegionIODescriptors(decoding: reply.payload.rawSpan)
      return PathRig.Answer(
        entries: message.entries,
        ports: reply.descriptors.map { TestPort(OwnedDescriptor(adopting: $0)) },
        neededByteCount: message.neededByteCount, isIncomplete: false)
    }

    func stop() {
      server.stop()
      for loop in loops { loop.stop() }
      for thread in threads { thread.join() }
    }
  }

  /// What tests look at of a device that lives on other threads; after these have ended.
  private final class Shown: @unchecked Sendable {
    var device: PathDevice?
  }

  @Test(
    "I21: a range's handler runs on the thread of its loop, reached by message, ioregionfd or ioeventfd",
    arguments: ServingEngine.available, [PollingMode.never, .adaptive, .always])
  func threadIdentity(engine: ServingEngine, polling: PollingMode) throws {
    let shown = Shown()
    let machine = try Machine(engine, polling: polling) { loops in
      let device = PathDevice(
        [.region(0, 0x20), .region(0x300, 0x20), .event(0x20, 4), .event(0x320, 4)],
        other: loops[0])
      shown.device = device
      return device
    }
    let answer = try machine.ask()
    // The same group, but a descriptor for each loop.
    #expect(answer.entries.map(\.descriptorIndex) == [0, 1, 2, 3])
    for base in [UInt64(0), 0x300] {
      try machine.client.write(0, base + 4, [1, 2, 3, 4])
      let index = base == 0 ? 0 : 1
      for _ in 0..<50 {
        try answer.ports[index].send(
          .read(at: 4, byteCount: 4, userData: answer.entries[index].value))
        #expect(try answer.ports[index].waitForResponse() == 0x0403_0201)
      }
      answer.ports[index + 2].signal()
      try answer.ports[index].send(
        .write(5, at: 4, byteCount: 4, userData: answer.entries[index].value))
      #expect(try answer.ports[index].waitForResponse() == 0)
      #expect(try machine.client.read(0, base + 4, 4) == [5, 0, 0, 0])
    }
    let threads = Mutex<[UInt]>([])
    let seen = Reference(threads)
    try machine.server.run { _ in seen.value.withLock { $0.append(UInt(pthread_self())) } }
    let done = EventDescriptorBox(try EventDescriptor())
    machine.loops[0].post {
      seen.value.withLock { $0.append(UInt(pthread_self())) }
      done.event.signal()
    }
    #expect(done.event.wait(timeout: .seconds(60)) != nil)
    // Signals keep no order with other accesses: they come when they come.
    try waitForNotification(on: machine.server.loop) { shown.device?.registers }
    try waitForNotification(on: machine.loops[0]) { shown.device?.remote }
    machine.stop()
    let device = try #require(shown.device)
    let expected = seen.value.withLock { $0 }
    #expect(device.registers.threads == [expected[0]])
    #expect(device.remote.threads == [expected[1]])
    #expect(device.registers.accesses.contains(.notified(0x20, 4, nil)))
    #expect(device.remote.accesses.contains(.notified(0x20, 4, nil)))
    #expect(device.registers.accesses.count == device.remote.accesses.count)
  }

  private func waitForNotification(
    on loop: EventLoop, of region: @escaping @Sendable () -> RecordingRegion?
  ) throws {
    let found = EventDescriptorBox(try EventDescriptor())
    for _ in 0..<60_000 {
      loop.post {
        if region()?.accesses.contains(.notified(0x20, 4, nil)) == true { found.event.signal() }
      }
      if found.event.wait(timeout: .milliseconds(1)) != nil { return }
    }
  }

  /// A lock that closures on several threads share.
  private final class Reference: Sendable {
    let value: Mutex<[UInt]>
    init(_ value: consuming Mutex<[UInt]>) { self.value = value }
  }

  /// Waits in its handler until another handler waits as well.
  private final class Meeting: RegionHandler {
    private let mine: EventDescriptorBox
    private let others: EventDescriptorBox

    init(_ mine: EventDescriptorBox, _ others: EventDescriptorBox) {
      self.mine = mine
      self.others = others
    }

    func read(
      at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      others.event.signal()
      let met = mine.event.wait(timeout: .seconds(60)) != nil
      try? bytes.store(UInt8(met ? 1 : 0), at: 0)
    }

    func write(
      at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
    ) throws(Errno) {}
  }

  private final class MeetingDevice: ServedDevice {
    let loops: [EventLoop]
    private let handlers: [Meeting]
    let layout = DeviceLayout(
      flags: .reset,
      regions: [
        RegionLayout(
          byteCount: 32, rights: .read, paths: [.region(0, 16), .region(16, 16, group: 1)])
      ], interrupts: [])

    init(_ loops: [EventLoop]) throws {
      self.loops = loops
      let first = EventDescriptorBox(try EventDescriptor())
      let second = EventDescriptorBox(try EventDescriptor())
      handlers = [Meeting(first, second), Meeting(second, first)]
    }

    func region(at index: Int) -> Region? {
      try? Region(
        byteCount: 32,
        ranges: (0..<2).map {
          RegionRange(
            offset: RegionOffset(UInt64(16 * $0)), byteCount: 16, handler: handlers[$0],
            loop: loops[$0])
        })
    }
    func start(_ services: DeviceServices) {}
    func reset(_ kind: ResetKind) {}
  }

  @Test(
    "I17: accesses on two descriptors of two loops are in progress at the same time",
    arguments: ServingEngine.available)
  func overlap(engine: ServingEngine) throws {
    let loopsDevice: @Sendable ([EventLoop]) -> any ServedDevice = { loops in
      (try? MeetingDevice(loops)) ?? LoadDevice(loops: loops, shared: LoadDevice.Shared())
    }
    let machine = try Machine(engine, loopsDevice)
    defer { machine.stop() }
    let answer = try machine.ask()
    for _ in 0..<20 {
      for index in 0...1 {
        try answer.ports[index].send(
          .read(at: 0, byteCount: 1, userData: answer.entries[index].value))
      }
      #expect(try answer.ports[0].waitForResponse() == 1)
      #expect(try answer.ports[1].waitForResponse() == 1)
    }
  }

  /// One thread a port: writes as fast as they are answered.
  private final class Hammer: @unchecked Sendable {
    let answered = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
    private var thread: TestThread?

    init(_ port: TestPort, _ userData: UInt64) {
      let confined = LoopConfined(port)
      thread = TestThread { [self] in
        var number: UInt64 = 0
        while !isOver.load(ordering: .relaxed) {
          number += 1
          // Some are posted, and one that waits follows.
          do {
            if number % 5 == 0 {
              try confined.value.send(
                .write(1, at: 4, byteCount: 1, userData: userData, isPosted: true))
            }
            try confined.value.send(
              .write(1, at: number % 56, byteCount: 8, userData: userData))
            _ = try confined.value.waitForResponse()
          } catch {
            if !isOver.load(ordering: .relaxed) { Issue.record("no answer: \(error)") }
            return
          }
          answered.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }

    func end() {
      isOver.store(true, ordering: .relaxed)
      thread?.join()
      thread = nil
    }
  }

  @Test(
    "E9: resets under load by message and descriptor: all is answered, nothing runs while it is quiet",
    arguments: ServingEngine.available)
  func resetUnderLoad(engine: ServingEngine) throws {
    let shared = LoadDevice.Shared()
    let machine = try Machine(engine) { loops in
      LoadDevice(
        loops: loops, shared: shared, paths: [.region(0, 64), .region(64, 64, group: 1)])
    }
    defer { machine.stop() }
    let memory = try SharedMemory(byteCount: 8192)
    let request = DMAMapRequest(rights: [.read, .write], address: DMAAddress(0), byteCount: 4096)
    #expect(
      try machine.client.call(request, descriptors: [memory.rawDescriptor]).header.failure == nil)
    let answer = try machine.ask()
    let hammers = (0...1).map { Hammer(answer.ports[$0], answer.entries[$0].value) }
    defer { for hammer in hammers { hammer.end() } }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while hammers.contains(where: { $0.answered.load(ordering: .relaxed) == 0 }),
      MonotonicTime.now < deadline
    { usleep(1000) }
    for round in 0..<100 {
      var waiting: Set<UInt16> = []
      for index in 0..<6 {
        waiting.insert(
          try machine.client.peer.send(
            .regionWrite, TestPeer.writePayload(0, UInt64(64 * (index % 2)), [1])))
        if index == round % 6 { waiting.insert(try machine.client.peer.send(.deviceReset)) }
      }
      while !waiting.isEmpty {
        let reply = try #require(try machine.client.next(), "a reply is missing")
        #expect(waiting.remove(reply.header.messageID) != nil, "answered twice")
        let failure = reply.header.failure
        #expect(failure == nil || failure == .canceled)
      }
    }
    for hammer in hammers { hammer.end() }
    #expect(shared.resets.load(ordering: .relaxed) == 100)
    #expect(shared.intrusions.load(ordering: .relaxed) == 0)
    #expect(hammers.allSatisfy { $0.answered.load(ordering: .relaxed) > 0 })
    #expect(answer.ports.allSatisfy { !$0.isClosed })
  }

  @Test(
    "V11: clients come and go while their descriptors are busy, and the device is whole",
    arguments: ServingEngine.available)
  func disconnectUnderLoad(engine: ServingEngine) throws {
    let shared = LoadDevice.Shared()
    let machine = try Machine(engine) { loops in
      LoadDevice(
        loops: loops, shared: shared, paths: [.region(0, 64), .region(64, 64, group: 1)])
    }
    defer { machine.stop() }
    machine.client.peer.channel.shutDown()
    for _ in 0..<30 {
      let client = try WaitingPeer(path: machine.server.path)
      try client.negotiate()
      let reply = try client.call(RegionIODescriptorsRequest(index: 0, argumentSize: 4096))
      let entries = try RegionIODescriptors(decoding: reply.payload.rawSpan).entries
      let ports = reply.descriptors.map { TestPort(OwnedDescriptor(adopting: $0)) }
      for number in UInt64(0)..<20 {
        for index in 0...1 {
          try? ports[index].send(
            .write(1, at: number, byteCount: 1, userData: entries[index].value, isPosted: true))
        }
      }
      client.peer.channel.shutDown()
    }
    let last = try WaitingPeer(path: machine.server.path)
    try last.negotiate()
    #expect(try last.read(0, 0, 1).count == 1)
    #expect(shared.intrusions.load(ordering: .relaxed) == 0)
  }
}
