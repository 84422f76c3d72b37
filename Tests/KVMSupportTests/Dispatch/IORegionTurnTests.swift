import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// Who may use a port, and what signals do.
@Suite("Turns at a port") struct IORegionTurnTests {
  @Test("I14: a signal interrupts the wait for a response; the access is done once")
  func oneSignal() throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let interruptions = Observed(0)
    let vcpu = DispatchThread {
      var progress = IORegionProgress()
      while true {
        let outcome = pair.port.perform(
          .write(5, at: 0, byteCount: 4, userData: 0), &progress)
        guard outcome == .interrupted else {
          #expect(outcome == .done(0))
          return
        }
        #expect(progress.isUnderWay)
        interruptions.update { $0 += 1 }
      }
    }
    #expect(pair.receive()?.data == 5)
    // The thread may not sleep yet when a signal comes; one will find it asleep.
    while interruptions.value < 3 {
      vcpu.signal(SIGUSR1)
      usleep(200)
    }
    pair.respond(0)
    vcpu.join()
    #expect(pair.receive(isWaiting: false) == nil, "the access was sent again")
  }

  @Test("I14: a storm of signals loses and repeats nothing", arguments: [1, 3])
  func storm(threadCount: Int) throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let rounds = 300
    let served = Observed<[UInt64: Int]>([:])
    let interruptions = Observed(0)
    let device = pair.serve { command in
      // The first answer comes once a signal has found somebody waiting.
      _ = interruptions.wait { $0 > 0 }
      served.update { $0[command.data &+ command.offset, default: 0] += 1 }
      usleep(50)
      return command.offset &* 3
    }
    let isOver = Observed(0)
    let vcpus = (0..<threadCount).map { thread in
      DispatchThread {
        var progress = IORegionProgress()
        for round in 0..<rounds {
          let offset = UInt64(thread * rounds + round)
          while true {
            let outcome = pair.port.perform(
              .read(at: offset, byteCount: 8, userData: 0), &progress)
            if outcome == .interrupted {
              interruptions.update { $0 += 1 }
              continue
            }
            #expect(outcome == .done(offset &* 3), "an access got another one's response")
            break
          }
        }
        isOver.update { $0 += 1 }
      }
    }
    while isOver.value < threadCount {
      for vcpu in vcpus { vcpu.signal(SIGUSR1) }
      usleep(100)
    }
    for vcpu in vcpus { vcpu.join() }
    pair.port.close()
    device.join()
    #expect(interruptions.value > 0)
    #expect(served.value.count == threadCount * rounds)
    #expect(served.value.values.allSatisfy { $0 == 1 }, "an access was sent twice")
  }

  @Test("I14 I16: while an interrupted vCPU is away, others go on, and each gets its own response")
  func absentOwner() throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let firstIsAway = Observed(false)
    let mayReturn = Observed(false)
    let first = DispatchThread {
      var progress = IORegionProgress()
      let read = IORegionCommand.read(at: 1, byteCount: 8, userData: 0)
      #expect(pair.port.perform(read, &progress) == .interrupted)
      firstIsAway.update { $0 = true }
      #expect(mayReturn.wait { $0 })
      #expect(pair.port.perform(read, &progress) == .done(111))
    }
    #expect(pair.receive()?.offset == 1)
    while !firstIsAway.value {
      first.signal(SIGUSR1)
      usleep(200)
    }
    let second = DispatchThread {
      var progress = IORegionProgress()
      #expect(
        pair.port.perform(.read(at: 2, byteCount: 8, userData: 0), &progress) == .done(222))
    }
    // The first access is in flight still: the second one is not sent before its response.
    pair.respond(111)
    #expect(pair.receive()?.offset == 2)
    pair.respond(222)
    second.join()
    mayReturn.update { $0 = true }
    first.join()
    #expect(pair.receive(isWaiting: false) == nil)
  }

  @Test("I14: an access that is given up leaves its response to nobody")
  func abandoned() throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let isAway = Observed(false)
    let first = DispatchThread {
      var progress = IORegionProgress()
      let outcome = pair.port.perform(.read(at: 1, byteCount: 8, userData: 0), &progress)
      #expect(outcome == .interrupted)
      isAway.update { $0 = true }
    }
    #expect(pair.receive()?.offset == 1)
    while !isAway.value {
      first.signal(SIGUSR1)
      usleep(200)
    }
    first.join()
    pair.respond(111)
    let device = DispatchThread {
      #expect(pair.receive()?.offset == 2)
      pair.respond(222)
    }
    var progress = IORegionProgress()
    #expect(
      pair.port.perform(.read(at: 2, byteCount: 8, userData: 0), &progress) == .done(222))
    device.join()
  }

  @Test("I14 I16: who is interrupted while it receives another one's response keeps its place")
  func interruptedHelper() throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let firstIsAway = Observed(false)
    let first = DispatchThread {
      var progress = IORegionProgress()
      let read = IORegionCommand.read(at: 1, byteCount: 8, userData: 0)
      #expect(pair.port.perform(read, &progress) == .interrupted)
      firstIsAway.update { $0 = true }
    }
    #expect(pair.receive()?.offset == 1)
    while !firstIsAway.value {
      first.signal(SIGUSR1)
      usleep(200)
    }
    // The second has its turn, and receives the first one's response.
    let secondIsAway = Observed(false)
    let mayReturn = Observed(false)
    let second = DispatchThread {
      var progress = IORegionProgress()
      let read = IORegionCommand.read(at: 2, byteCount: 8, userData: 0)
      #expect(pair.port.perform(read, &progress) == .interrupted)
      secondIsAway.update { $0 = true }
      #expect(mayReturn.wait { $0 })
      #expect(pair.port.perform(read, &progress) == .done(222))
    }
    while !secondIsAway.value {
      second.signal(SIGUSR1)
      usleep(200)
    }
    let others = [UInt64(3), 4].map { number in
      DispatchThread {
        var progress = IORegionProgress()
        #expect(
          pair.port.perform(.read(at: number, byteCount: 8, userData: 0), &progress)
            == .done(number))
      }
    }
    // One of them takes over from the second, and the other sleeps behind it.
    while pair.port.waiterCount < 1 { usleep(100) }
    mayReturn.update { $0 = true }
    while pair.port.waiterCount < 2 { usleep(100) }
    pair.respond(111)
    let helper = try #require(pair.receive()?.offset)
    #expect(helper == 3 || helper == 4)
    pair.respond(helper)
    #expect(pair.receive()?.offset == 2, "it lost its place")
    pair.respond(222)
    #expect(pair.receive()?.offset == 7 - helper)
    pair.respond(7 - helper)
    first.join()
    second.join()
    for other in others { other.join() }
  }

  @Test("I14 I16: a signal ends the wait for one's turn as well")
  func interruptedInQueue() throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let first = DispatchThread {
      var progress = IORegionProgress()
      #expect(
        pair.port.perform(.read(at: 1, byteCount: 8, userData: 0), &progress) == .done(1))
    }
    #expect(pair.receive()?.offset == 1)
    let wasInterrupted = Observed(false)
    let second = DispatchThread {
      var progress = IORegionProgress()
      while true {
        let outcome = pair.port.perform(.read(at: 2, byteCount: 8, userData: 0), &progress)
        guard outcome == .interrupted else {
          #expect(outcome == .done(2))
          return
        }
        wasInterrupted.update { $0 = true }
      }
    }
    while !wasInterrupted.value {
      second.signal(SIGUSR1)
      usleep(200)
    }
    #expect(pair.receive(isWaiting: false) == nil, "two accesses were in flight")
    pair.respond(1)
    first.join()
    #expect(pair.receive()?.offset == 2)
    pair.respond(2)
    second.join()
  }

  @Test("I16: on one port accesses are served one at a time, first come first served")
  func serialised() throws {
    let pair = try PortPair()
    var vcpus: [DispatchThread] = []
    for number in UInt64(0)..<4 {
      vcpus.append(
        DispatchThread {
          var progress = IORegionProgress()
          #expect(
            pair.port.perform(.read(at: number, byteCount: 8, userData: 0), &progress)
              == .done(number))
        })
      // The first is in flight, and each of the others waits, before the next one comes.
      if number == 0 {
        #expect(pair.receive()?.offset == 0)
      } else {
        while pair.port.waiterCount < Int(number) { usleep(100) }
      }
    }
    for number in UInt64(0)..<4 {
      #expect(pair.receive(isWaiting: false) == nil, "two accesses were in flight")
      pair.respond(number)
      if number < 3 { #expect(pair.receive()?.offset == number + 1, "out of turn") }
    }
    for vcpu in vcpus { vcpu.join() }
  }

  @Test("I17: on two ports accesses overlap")
  func overlapping() throws {
    let pairs = [try PortPair(), try PortPair()]
    let vcpus = pairs.map { pair in
      DispatchThread {
        var progress = IORegionProgress()
        #expect(
          pair.port.perform(.read(at: 9, byteCount: 8, userData: 0), &progress) == .done(9))
      }
    }
    // Neither is answered before both are there: where they did not overlap this would not end.
    for pair in pairs { #expect(pair.receive()?.offset == 9) }
    for pair in pairs { pair.respond(9) }
    for vcpu in vcpus { vcpu.join() }
  }

  @Test("I16 E16: who waits for a turn when the server dies fails, too")
  func deathInQueue() throws {
    let pair = try PortPair()
    let outcomes = Observed<[IORegionOutcome]>([])
    var vcpus: [DispatchThread] = []
    for number in 0..<3 {
      vcpus.append(
        DispatchThread {
          var progress = IORegionProgress()
          let outcome = pair.port.perform(.read(at: 0, byteCount: 8, userData: 0), &progress)
          outcomes.update { $0.append(outcome) }
        })
      if number == 0 {
        _ = pair.receive()
      } else {
        while pair.port.waiterCount < number { usleep(100) }
      }
    }
    pair.closeDevice()
    for vcpu in vcpus { vcpu.join() }
    // Only the first one's command had been sent.
    #expect(outcomes.value.filter { $0 == .failed(.lost) }.count == 1)
    #expect(outcomes.value.filter { $0 == .failed(.closed) }.count == 2)
  }
}
