import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

@Suite("Mailbox: signals", .serialized) struct MailboxSignalTests {
  /// A handler that does nothing, and restarts nothing.
  private func installHandler() {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in }
    sigemptyset(&action.sa_mask)
    action.sa_flags = 0
    sigaction(SIGUSR1, &action, nil)
  }

  @Test("I14: a signal ends the wait, and the access is completed exactly once by the next call")
  func interrupted() throws {
    installHandler()
    let rig = try MailboxRig(device: .never, monitor: .never)
    let target = Atomic<UInt>(0)
    let count = Atomic<Int>(0)
    try withThread {
      letSignalsIn()
      target.store(UInt(pthread_self()), ordering: .releasing)
      var progress = IORegionProgress()
      let command = IORegionCommand.read(
        at: MailboxExecutor.deferred, byteCount: 2, userData: MailboxExecutor.userData)
      while true {
        let outcome = rig.port.perform(command, &progress)
        if outcome == .interrupted {
          #expect(progress.isUnderWay)
          count.add(1, ordering: .relaxed)
          continue
        }
        #expect(outcome == .done(0xbeef))
        #expect(!progress.isUnderWay)
        return
      }
    } during: {
      try rig.eventually { $0.executor?.waiting.count == 1 }
      let thread = pthread_t(target.load(ordering: .acquiring))
      while count.load(ordering: .relaxed) < 20 {
        pthread_kill(thread, SIGUSR1)
        usleep(200)
      }
      try rig.onLoop { inside, _ in
        #expect(inside.executor?.commands.count == 1)
        inside.endpoint?.respond(
          0xdead_beef, generation: try #require(inside.executor?.waiting.first))
      }
    }
    #expect(try rig.onLoop { inside, _ in inside.executor?.commands.count } == 1)
  }

  @Test("I14: an access that its vCPU left in flight holds nobody up, and its answer waits for it")
  func abandoned() throws {
    installHandler()
    let rig = try MailboxRig(device: .never, monitor: .never)
    let target = Atomic<UInt>(0)
    let away = Atomic<Bool>(false)
    let back = Atomic<Bool>(false)
    try withThread {
      letSignalsIn()
      target.store(UInt(pthread_self()), ordering: .releasing)
      var progress = IORegionProgress()
      let command = IORegionCommand.read(
        at: MailboxExecutor.deferred, byteCount: 1, userData: MailboxExecutor.userData)
      #expect(rig.port.perform(command, &progress) == .interrupted)
      away.store(true, ordering: .releasing)
      while !back.load(ordering: .acquiring) { usleep(100) }
      var outcome = rig.port.perform(command, &progress)
      while outcome == .interrupted { outcome = rig.port.perform(command, &progress) }
      #expect(outcome == .done(0x34))
    } during: {
      try rig.eventually { $0.executor?.waiting.count == 1 }
      let thread = pthread_t(target.load(ordering: .acquiring))
      while !away.load(ordering: .acquiring) {
        pthread_kill(thread, SIGUSR1)
        usleep(200)
      }
      try rig.onLoop { inside, _ in
        inside.endpoint?.respond(
          0x1234, generation: try #require(inside.executor?.waiting.first))
      }
      #expect(rig.write(9, 0) == .done(0))
      #expect(rig.read(0) == .done(9))
      back.store(true, ordering: .releasing)
    }
  }

  @Test("I10 I14 E16: a device that takes no command is given up, however many signals come")
  func endlessStall() throws {
    installHandler()
    let rig = try MailboxRig(device: .never, monitor: .never, timeout: .milliseconds(400))
    // The device does not look before it may.
    let mayEnd = Atomic<Bool>(false)
    rig.thread.loop.post { while !mayEnd.load(ordering: .acquiring) { usleep(1000) } }
    defer { mayEnd.store(true, ordering: .releasing) }
    let target = ThreadIdentifier()
    let isReady = Atomic<Bool>(false)
    let isOver = Atomic<Bool>(false)
    try withThread {
      letSignalsIn()
      target.set()
      isReady.store(true, ordering: .releasing)
      defer { isOver.store(true, ordering: .releasing) }
      var progress = IORegionProgress()
      var interruptions = 0
      var outcome = IORegionOutcome.done(0)
      // Far beyond the time; else the loop would go on where the time began anew.
      while outcome == .done(0) || outcome == .interrupted, interruptions < 300 {
        outcome = rig.port.perform(
          .write(
            1, at: 0, byteCount: 4, userData: MailboxExecutor.userData, isPosted: true),
          &progress)
        if outcome == .interrupted { interruptions += 1 }
      }
      #expect(outcome == .failed(.timedOut))
      #expect(!progress.isUnderWay)
      #expect(!rig.port.isOpen)
    } during: {
      while !isReady.load(ordering: .acquiring) { usleep(100) }
      while !isOver.load(ordering: .acquiring) {
        target.kill(SIGUSR1)
        usleep(20_000)
      }
    }
  }

  @Test(
    "I14: in a storm of signals each access is carried out exactly once, in order",
    arguments: [PollingMode.never, .adaptive])
  func storm(monitor: PollingMode) throws {
    installHandler()
    let rig = try MailboxRig(device: .never, monitor: monitor)
    let isOver = Atomic<Bool>(false)
    let interruptions = Atomic<Int>(0)
    let ready = Atomic<Int>(0)
    // The device begins once a signal has found somebody waiting.
    rig.thread.loop.post {
      while interruptions.load(ordering: .relaxed) == 0, !isOver.load(ordering: .acquiring) {
        usleep(100)
      }
    }
    let first = ThreadIdentifier()
    let second = ThreadIdentifier()
    let drivers = [first, second].enumerated().map { number, identifier in
      TestThread {
        letSignalsIn()
        identifier.set()
        ready.add(1, ordering: .releasing)
        var progress = IORegionProgress()
        for round in 0..<300 as Range<UInt64> {
          let value = UInt64(number) << 32 | round
          let isPosted = round % 4 == 1
          let command: IORegionCommand =
            round % 2 == 0
            ? .read(
              at: MailboxExecutor.slow + value, byteCount: 8, userData: MailboxExecutor.userData)
            : .write(
              value, at: UInt64(8 * number), byteCount: 8, userData: MailboxExecutor.userData,
              isPosted: isPosted)
          var outcome = rig.port.perform(command, &progress)
          while outcome == .interrupted {
            interruptions.add(1, ordering: .relaxed)
            outcome = rig.port.perform(command, &progress)
          }
          guard outcome == .done(round % 2 == 0 ? MailboxExecutor.slow + value : 0) else {
            Issue.record("access \(round) of thread \(number): \(outcome)")
            return
          }
        }
      }
    }
    while ready.load(ordering: .acquiring) < 2 { usleep(100) }
    let storm = TestThread {
      while !isOver.load(ordering: .acquiring) {
        first.kill(SIGUSR1)
        second.kill(SIGUSR1)
        usleep(100)
      }
    }
    // A thread's identifier is good until it is joined.
    defer {
      isOver.store(true, ordering: .releasing)
      storm.join()
      for driver in drivers { driver.join() }
    }
    try rig.eventually { $0.executor?.commands.count == 600 }
    try rig.onLoop { inside, _ in
      let commands = try #require(inside.executor?.commands)
      for number in 0..<2 as Range<UInt64> {
        let own = commands.compactMap { command -> UInt64? in
          let value =
            command.operation == .read ? command.offset - MailboxExecutor.slow : command.data
          return value >> 32 == number ? value & 0xffff_ffff : nil
        }
        #expect(own == (0..<300).map { UInt64($0) })
      }
    }
    #expect(interruptions.load(ordering: .relaxed) > 0)
  }
}

/// Threads inherit a mask, and that of a test blocks signals.
private func letSignalsIn() {
  var set = sigset_t()
  sigemptyset(&set)
  sigaddset(&set, SIGUSR1)
  pthread_sigmask(SIG_UNBLOCK, &set, nil)
}

/// A thread that signals go to.
private final class ThreadIdentifier: Sendable {
  private let value = Atomic<UInt>(0)
  func set() { value.store(UInt(pthread_self()), ordering: .releasing) }
  func kill(_ signal: CInt) {
    _ = pthread_kill(pthread_t(value.load(ordering: .acquiring)), signal)
  }
}
