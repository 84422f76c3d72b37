import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// How the two ends of a mailbox wait: device, monitor.
private let modes: [(PollingMode, PollingMode)] = [
  (.never, .never), (.adaptive, .adaptive), (.always, .adaptive), (.never, .always),
  (.always, .never),
]

@Suite("Mailbox: accesses") struct MailboxTests {
  @Test(
    "I11, I12: accesses of each size and direction give what memory would, polled and asleep",
    arguments: modes)
  func sizes(device: PollingMode, monitor: PollingMode) throws {
    let rig = try MailboxRig(device: device, monitor: monitor)
    var model = MailboxModel()
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<1500 {
      let byteCount = [1, 2, 4, 8].randomElement(using: &generator) ?? 1
      let offset = Int.random(in: 0...(1024 - byteCount), using: &generator)
      switch Int.random(in: 0..<3, using: &generator) {
      case 0:
        #expect(
          rig.read(UInt64(offset), byteCount) == .done(model.read(offset, byteCount)))
      case let kind:
        let value = UInt64.random(in: 0 ... .max, using: &generator)
        model.write(value, offset, byteCount)
        #expect(rig.write(value, UInt64(offset), byteCount, isPosted: kind == 1) == .done(0))
      }
    }
    for offset in stride(from: 0, to: 1024, by: 8) {
      #expect(rig.read(UInt64(offset), 8) == .done(model.read(offset, 8)))
    }
  }

  @Test("I8: user data, offset, size and value arrive as they were sent")
  func fields() throws {
    let rig = try MailboxRig()
    let sent: [IORegionCommand] = [1, 2, 4, 8].flatMap { byteCount -> [IORegionCommand] in
      [
        .read(at: 8, byteCount: byteCount, userData: MailboxExecutor.userData),
        .write(.max, at: 8, byteCount: byteCount, userData: MailboxExecutor.userData),
        .write(
          0x0102_0304_0506_0708, at: 16, byteCount: byteCount,
          userData: MailboxExecutor.userData, isPosted: true),
      ]
    }
    for command in sent { _ = rig.port.finish(command) }
    try rig.eventually { $0.executor?.commands.count == sent.count }
    #expect(try rig.onLoop { inside, _ in inside.executor?.commands } == sent)
  }

  @Test(
    "I13: posted writes arrive in order, and a read sees those before it", arguments: modes)
  func order(device: PollingMode, monitor: PollingMode) throws {
    let rig = try MailboxRig(device: device, monitor: monitor)
    for round in 0..<200 {
      for value in 0..<5 {
        rig.write(UInt64(round * 5 + value), 64, 8, isPosted: true)
      }
      #expect(rig.read(64, 8) == .done(UInt64(round * 5 + 4)))
    }
    let values = try rig.onLoop { inside, _ in
      inside.executor?.commands.filter { $0.operation == .write }.map(\.data)
    }
    #expect(values == (0..<1000).map { UInt64($0) })
  }

  @Test("I10: a posted write waits for no handler; the next command waits until it is taken")
  func posted() throws {
    let rig = try MailboxRig()
    try rig.onLoop { inside, _ in inside.endpoint?.pause() }
    // Nobody takes it, and it returns all the same.
    #expect(rig.write(1, 0, isPosted: true) == .done(0))
    let second = Atomic<Bool>(false)
    try withThread {
      #expect(rig.write(2, 4, isPosted: true) == .done(0))
      second.store(true, ordering: .releasing)
    } during: {
      for _ in 0..<20 { try rig.onLoop { _, _ in _ = usleep(100) } }
      let hasReturned = second.load(ordering: .acquiring)
      #expect(!hasReturned)
      #expect(try rig.onLoop { inside, _ in inside.executor?.commands.isEmpty } == true)
      try rig.onLoop { inside, _ in inside.endpoint?.resume() }
    }
    #expect(rig.read(4) == .done(2))
  }

  @Test("I9: an answer may come later, once, and by its generation alone", arguments: modes)
  func deferred(device: PollingMode, monitor: PollingMode) throws {
    let rig = try MailboxRig(device: device, monitor: monitor)
    for round in 0..<20 as Range<UInt64> {
      try withThread {
        #expect(rig.read(MailboxExecutor.deferred, 8) == .done(round))
      } during: {
        try rig.eventually { $0.executor?.waiting.count == 1 }
        try rig.onLoop { inside, _ in
          let endpoint = try #require(inside.endpoint)
          let generation = try #require(inside.executor?.waiting.last)
          inside.executor?.waiting.removeLast()
          endpoint.respond(99, generation: generation &- 1)
          endpoint.respond(99, generation: generation &+ 1)
          endpoint.respond(round, generation: generation)
          endpoint.respond(99, generation: generation)
        }
      }
      #expect(rig.write(round, 0) == .done(0))
      #expect(rig.read(0) == .done(round))
    }
  }

  @Test("I16: while an answer is outstanding, no other access of the port begins")
  func oneInFlight() throws {
    let rig = try MailboxRig()
    try withThread {
      #expect(rig.read(MailboxExecutor.deferred) == .done(5))
    } during: {
      try rig.eventually { $0.executor?.waiting.count == 1 }
      try withThread {
        #expect(rig.write(7, 0) == .done(0))
      } during: {
        for _ in 0..<20 { try rig.onLoop { _, _ in _ = usleep(100) } }
        #expect(try rig.onLoop { inside, _ in inside.executor?.commands.count } == 1)
        try rig.onLoop { inside, _ in
          inside.endpoint?.respond(5, generation: try #require(inside.executor?.waiting.first))
        }
      }
    }
    #expect(rig.read(0) == .done(7))
  }

  @Test(
    "E9: a paused endpoint takes nothing; what came meanwhile is carried out after",
    arguments: modes)
  func pause(device: PollingMode, monitor: PollingMode) throws {
    let rig = try MailboxRig(device: device, monitor: monitor)
    for round in 0..<20 as Range<UInt64> {
      try rig.onLoop { inside, _ in
        inside.endpoint?.pause()
        inside.endpoint?.pause()
      }
      try withThread {
        #expect(rig.write(round, 8) == .done(0))
      } during: {
        while rig.store.memory.commandSequence != round + 1 { usleep(50) }
        for _ in 0..<5 { try rig.onLoop { _, _ in _ = usleep(50) } }
        try rig.onLoop { inside, _ in inside.endpoint?.resume() }
        for _ in 0..<5 { try rig.onLoop { _, _ in _ = usleep(50) } }
        #expect(
          try rig.onLoop { inside, _ in inside.executor?.commands.count } == Int(round))
        try rig.onLoop { inside, _ in inside.endpoint?.resume() }
      }
    }
  }

  @Test("I17: threads that share a port do not disturb each other", arguments: modes)
  func sharing(device: PollingMode, monitor: PollingMode) throws {
    let rig = try MailboxRig(device: device, monitor: monitor)
    let threads = (0..<3).map { number in
      TestThread {
        let base = UInt64(number * 64)
        for round in 0..<400 as Range<UInt64> {
          let value = UInt64(number) << 32 | round
          rig.write(value, base, 8, isPosted: round % 3 == 0)
          guard rig.read(base, 8) == .done(value) else {
            Issue.record("thread \(number) read another one's value")
            return
          }
        }
      }
    }
    for thread in threads { thread.join() }
  }

  @Test("E2: with both sides looking, an access costs no signal")
  func polled() throws {
    let rig = try MailboxRig(device: .always, monitor: .always)
    for round in 0..<2000 as Range<UInt64> {
      rig.write(round, 0, 8, isPosted: round % 2 == 0)
      #expect(rig.read(0, 8) == .done(round))
    }
    #expect(!rig.store.memory.deviceSleeps)
    #expect(!rig.store.memory.monitorSleeps)
    #expect(rig.store.commandEvent.consume() == nil)
    #expect(rig.store.responseEvent.consume() == nil)
  }

  @Test("A device that sleeps says so, and is woken each time")
  func sleeping() throws {
    let rig = try MailboxRig(device: .never, monitor: .never)
    for round in 0..<200 as Range<UInt64> {
      let deadline = MonotonicTime.now.advanced(by: .seconds(60))
      while !rig.store.memory.deviceSleeps {
        try #require(MonotonicTime.now < deadline)
        usleep(20)
      }
      #expect(rig.write(round, 0) == .done(0))
      #expect(!rig.store.memory.monitorSleeps)
    }
  }
}

/// Runs `body` on a thread, and `during` meanwhile.
func withThread(
  _ body: @escaping @Sendable () -> Void, during: () throws -> Void
) throws {
  let thread = TestThread(body)
  defer { thread.join() }
  try during()
}
