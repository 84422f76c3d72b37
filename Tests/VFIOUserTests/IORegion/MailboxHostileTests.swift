import CVFIOUserLinux
import Glibc
import Synchronization
import Testing

@testable import VFIOUser

@Suite("Mailbox: hostile monitors") struct MailboxHostileMonitorTests {
  @Test(
    "E17: a command out of turn closes the mailbox", arguments: [2, 3, 1 << 63, UInt64.max - 1])
  func outOfTurn(sequence: UInt64) throws {
    let rig = try MailboxRig()
    rig.store.memory.send(
      .read(at: 0, byteCount: 4, userData: MailboxExecutor.userData), sequence: sequence)
    rig.store.commandEvent.signal()
    try rig.eventually { $0.hasEnded }
    #expect(try rig.onLoop { inside, _ in inside.violation } == "a command out of turn")
    #expect(try rig.onLoop { inside, _ in inside.executor?.commands.count } == 0)
    #expect(rig.store.memory.responseSequence == MailboxMemory.closed)
  }

  @Test("E17: a command that repeats the last one's number, or goes back, is not carried out")
  func repeated() throws {
    let rig = try MailboxRig()
    #expect(rig.write(1, 0) == .done(0))
    #expect(rig.write(2, 0) == .done(0))
    rig.store.memory.send(
      .write(9, at: 0, byteCount: 4, userData: MailboxExecutor.userData), sequence: 2)
    rig.store.commandEvent.signal()
    for _ in 0..<5 { try rig.onLoop { _, _ in _ = usleep(50) } }
    #expect(try rig.onLoop { inside, _ in inside.executor?.commands.count } == 2)
    rig.store.memory.send(
      .write(9, at: 0, byteCount: 4, userData: MailboxExecutor.userData), sequence: 1)
    rig.store.commandEvent.signal()
    try rig.eventually { $0.hasEnded }
  }

  @Test(
    "E17: a command that means nothing closes the mailbox",
    arguments: [0x80, 2, 0xf, 1 << 32, 0xffff_ffff_ffff_ffff] as [UInt64])
  func meaningless(info: UInt64) throws {
    let rig = try MailboxRig()
    let memory = try rig.mapMemory()
    memory.storeRelaxed(info, at: 8)
    memory.storeInOrder(1, at: 0)
    rig.store.commandEvent.signal()
    try rig.eventually { $0.hasEnded }
    #expect(try rig.onLoop { inside, _ in inside.violation } != nil)
    #expect(try rig.onLoop { inside, _ in inside.executor?.commands.count } == 0)
  }

  @Test("E17: what the device refuses closes the mailbox, and the monitor learns of it")
  func refused() throws {
    let rig = try MailboxRig()
    #expect(rig.read(2000) == .failed(.lost))
    #expect(!rig.port.isOpen)
    #expect(rig.read(0) == .failed(.closed))
    try rig.eventually { $0.violation == "past the end" }
  }

  @Test("I2: a monitor that gives the mailbox up closes it without a complaint")
  func givenUp() throws {
    let rig = try MailboxRig()
    #expect(rig.write(1, 0) == .done(0))
    rig.port.close()
    try rig.eventually { $0.hasEnded }
    #expect(try rig.onLoop { inside, _ in inside.violation } == nil)
    #expect(rig.read(0) == .failed(.closed))
  }

  @Test("I2: a mailbox that is given up while an access is sent is closed all the same")
  func givenUpMeanwhile() throws {
    // Whether the access goes out behind the end is up to the scheduler: some of them do.
    for _ in 0..<50 {
      let rig = try MailboxRig(device: .never, monitor: .never)
      try rig.onLoop { inside, _ in inside.endpoint?.pause() }
      #expect(rig.write(1, 0, isPosted: true) == .done(0))
      try withThread {
        // Is sent when the device has taken the write.
        #expect(rig.read(0) == .failed(.closed))
      } during: {
        while !rig.store.memory.monitorSleeps { usleep(50) }
        usleep(200)
        // The device has taken it, and the monitor finds that out when it wakes.
        rig.store.memory.acknowledge(1)
        rig.port.close()
      }
      try #require(rig.store.memory.commandSequence == MailboxMemory.closed)
      try rig.onLoop { inside, _ in inside.endpoint?.resume() }
      try rig.eventually { $0.hasEnded }
    }
  }

  @Test("E17: fields that change while they are read make a valid command or none")
  func changingFields() throws {
    let rig = try MailboxRig(device: .always)
    let memory = try rig.mapMemory()
    var generator = SystemRandomNumberGenerator()
    func anyInfo() -> UInt64 { UInt64(0x40 | Int.random(in: 0..<4) << 4 | Int.random(in: 0...1)) }
    for sequence in 1...20_000 as ClosedRange<UInt64> {
      memory.storeRelaxed(anyInfo(), at: 8)
      memory.storeRelaxed(MailboxExecutor.userData, at: 16)
      memory.storeInOrder(sequence, at: 0)
      // Now that it may be looked at, everything changes.
      for _ in 0..<3 {
        memory.storeRelaxed(anyInfo(), at: 8)
        memory.storeRelaxed(UInt64.random(in: 0...1016, using: &generator), at: 24)
        memory.storeRelaxed(UInt64.random(in: 0 ... .max, using: &generator), at: 32)
      }
      while memory.loadAcquiring(at: 128) < sequence { sched_yield() }
      try #require(memory.loadAcquiring(at: 128) == sequence)
    }
    let commands = try #require(try rig.onLoop { inside, _ in inside.executor?.commands })
    #expect(commands.count == 20_000)
    for command in commands {
      #expect(command.data == command.data.truncated(toByteCount: command.accessByteCount))
    }
    // And now what is no command at all.
    for sequence in 20_001...20_100 as ClosedRange<UInt64> {
      memory.storeRelaxed(UInt64.random(in: 0 ... .max, using: &generator), at: 8)
      memory.storeInOrder(sequence, at: 0)
      while memory.loadAcquiring(at: 128) < sequence { sched_yield() }
    }
    try rig.eventually { $0.hasEnded }
  }

  @Test("E17: signals without commands, and events that would block, do not stop the loop")
  func events() throws {
    let rig = try MailboxRig(device: .never, monitor: .never)
    for _ in 0..<200 { rig.store.commandEvent.signal() }
    #expect(rig.write(1, 0) == .done(0))
    // The monitor shares the open files: it fills one event and has both block.
    for event in [rig.store.commandEvent.rawValue, rig.store.responseEvent.rawValue] {
      #expect(cvfu_set_nonblocking(event, false) == 0)
    }
    var most = UInt64.max - 1
    #expect(Glibc.write(rig.store.responseEvent.rawValue, &most, 8) == 8)
    rig.store.memory.setMonitorSleeps(true)
    rig.store.memory.send(
      .write(7, at: 0, byteCount: 4, userData: MailboxExecutor.userData), sequence: 2)
    rig.store.commandEvent.signal()
    try rig.eventually { $0.executor?.commands.count == 2 }
    #expect(rig.store.memory.responseSequence == 2)
  }
}

@Suite("Mailbox: hostile devices") struct MailboxHostileDeviceTests {
  @Test(
    "E16: a response out of turn is garbage, and closes the port",
    arguments: [2, 1 << 63, UInt64.max - 1])
  func outOfTurn(sequence: UInt64) throws {
    let rig = try MailboxRig()
    try rig.onLoop { inside, _ in inside.endpoint?.pause() }
    rig.store.memory.respond(1, sequence: sequence)
    #expect(rig.read(0) == .failed(.garbage))
    #expect(!rig.port.isOpen)
    #expect(rig.read(0) == .failed(.closed))
  }

  @Test("E16: a device that answers by closing loses the access; later ones find the port closed")
  func closing() throws {
    let rig = try MailboxRig()
    try withThread {
      #expect(rig.read(MailboxExecutor.deferred) == .failed(.lost))
      #expect(rig.write(1, 0) == .failed(.closed))
    } during: {
      try rig.eventually { $0.executor?.waiting.count == 1 }
      try rig.onLoop { inside, _ in inside.endpoint?.close() }
    }
    #expect(!rig.port.isOpen)
  }

  @Test("E16: a device that says nothing costs the time-out once", arguments: PollingMode.allCases)
  func silence(monitor: PollingMode) throws {
    let rig = try MailboxRig(monitor: monitor, timeout: .milliseconds(20))
    try rig.onLoop { inside, _ in inside.endpoint?.pause() }
    #expect(rig.read(0) == .failed(.timedOut))
    #expect(rig.read(0) == .failed(.closed))
    let other = try MailboxRig(monitor: monitor, timeout: .milliseconds(20))
    try other.onLoop { inside, _ in inside.endpoint?.pause() }
    #expect(other.write(1, 0, isPosted: true) == .done(0))
    #expect(other.write(1, 0, isPosted: true) == .failed(.timedOut))
  }

  @Test("E16, V12: a server that dies ends the wait at once", arguments: PollingMode.allCases)
  func death(monitor: PollingMode) throws {
    let rig = try MailboxRig(monitor: monitor)
    try withThread {
      #expect(rig.read(MailboxExecutor.deferred) == .failed(.lost))
    } during: {
      try rig.eventually { $0.executor?.waiting.count == 1 }
      rig.endSession()
    }
    #expect(rig.read(0) == .failed(.closed))
  }

  @Test("E16: what was answered before the server died counts")
  func lastAnswer() throws {
    let rig = try MailboxRig(device: .never, monitor: .never)
    try rig.onLoop { inside, _ in inside.endpoint?.pause() }
    try withThread {
      #expect(rig.read(0) == .done(7))
    } during: {
      while !rig.store.memory.monitorSleeps { usleep(50) }
      // Nothing but the hangup wakes the monitor.
      rig.store.memory.respond(7, sequence: 1)
      rig.endSession()
    }
  }

  @Test("E16: a device that scribbles over the memory can fail accesses and nothing else")
  func scribbling() throws {
    for _ in 0..<30 {
      let rig = try MailboxRig(timeout: .milliseconds(50))
      let memory = try rig.mapMemory()
      let isOver = Atomic<Bool>(false)
      try withThread {
        var generator = SystemRandomNumberGenerator()
        while !isOver.load(ordering: .relaxed) {
          let place = [0, 8, 16, 24, 32, 128, 136, 256, 384].randomElement(using: &generator) ?? 0
          memory.storeInOrder(UInt64.random(in: 0...4, using: &generator), at: place)
        }
      } during: {
        for _ in 0..<20 {
          let outcome = rig.read(0, 1)
          if case .done(let value) = outcome { #expect(value <= 0xff) }
          if !rig.port.isOpen { break }
        }
        isOver.store(true, ordering: .relaxed)
      }
    }
  }

  @Test("E16: events that would block do not hold the monitor up")
  func events() throws {
    let rig = try MailboxRig(device: .never, monitor: .never)
    #expect(rig.write(1, 0) == .done(0))
    for event in [rig.store.commandEvent.rawValue, rig.store.responseEvent.rawValue] {
      #expect(cvfu_set_nonblocking(event, false) == 0)
    }
    try rig.onLoop { inside, _ in inside.endpoint?.pause() }
    var most = UInt64.max - 1
    rig.store.commandEvent.consume()
    #expect(Glibc.write(rig.store.commandEvent.rawValue, &most, 8) == 8)
    rig.store.memory.setDeviceSleeps(true)
    #expect(rig.write(1, 0, isPosted: true) == .done(0))
    try rig.onLoop { inside, _ in inside.endpoint?.resume() }
    #expect(rig.read(0) == .done(1))
  }

  @Test("E16: only sealed memory of a page is taken, and it cannot be shrunk")
  func memory() throws {
    func duplicate(_ raw: CInt) throws(Errno) -> OwnedDescriptor {
      OwnedDescriptor(adopting: try Errno.checkShim(cvfu_duplicate(raw)))
    }
    let event = try EventDescriptor()
    func port(_ memory: CInt, event second: CInt? = nil) throws(Errno) -> MailboxPort {
      try MailboxPort(
        memory: duplicate(memory), commandEvent: duplicate(second ?? event.rawValue),
        responseEvent: duplicate(event.rawValue), client: nil)
    }
    let store = try MailboxStore()
    #expect(throws: Never.self) { try port(store.memory.rawDescriptor) }
    #expect(ftruncate(store.memory.rawDescriptor, 0) < 0)
    let path = "/dev/shm/vfio-user-test-\(getpid())"
    let unsealed = open(path, O_RDWR | O_CREAT, 0o600)
    #expect(unlink(path) == 0)
    #expect(ftruncate(unsealed, 4096) == 0)
    #expect(throws: Errno.invalidArgument) { try port(unsealed) }
    close(unsealed)
    var ends: [CInt] = [0, 0]
    #expect(pipe(&ends) == 0)
    #expect(throws: Errno.invalidArgument) { try port(ends[0]) }
    #expect(throws: Errno.invalidArgument) { try port(store.memory.rawDescriptor, event: ends[1]) }
    for end in ends { close(end) }
  }
}

extension MailboxRig {
  /// The memory once more, as whoever holds its descriptor may map it.
  func mapMemory() throws -> SharedMemory {
    try SharedMemory(
      adopting: OwnedDescriptor(
        adopting: try Errno.checkShim(cvfu_duplicate(store.memory.rawDescriptor))),
      offset: 0, byteCount: 4096, writable: true)
  }
}
