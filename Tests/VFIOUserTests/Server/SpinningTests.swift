import Testing

@testable import VFIOUser

@Suite("Loops that poll") struct SpinningTests {
  @Test("Timers, descriptors and posted work get their turn though a poller always finds work")
  func noStarvation() throws {
    let loop = try EventLoop(polling: .always)
    let event = try EventDescriptor()
    var timers = 0
    var events = 0
    var posted = 0
    var rounds = 0
    let watch = try loop.watch(event.rawValue, .readable) { _ in
      _ = event.consume()
      events += 1
    }
    loop.schedule(after: .milliseconds(1)) {
      timers += 1
      loop.schedule(after: .zero) { timers += 1 }
    }
    let count = LoopConfined({ posted += 1 })
    let token = loop.addPoller {
      rounds += 1
      if rounds == 5 { event.signal() }
      if rounds == 100 {
        #expect(events == 1)
        loop.post { count.value() }
      }
      if rounds == 102 { #expect(posted == 1) }
      if timers == 2 || rounds == 50_000_000 { loop.stop() }
      return true
    }
    try loop.run()
    #expect(timers == 2)
    #expect(events == 1)
    loop.removePoller(token)
    loop.unwatch(watch)
  }

  @Test("A poller may remove itself, remove others and add new ones")
  func changes() throws {
    let loop = try EventLoop(polling: .always)
    var calls: [String] = []
    var first: PollerToken?
    var second: PollerToken?
    var third: PollerToken?
    first = loop.addPoller {
      calls.append("first")
      if let first { loop.removePoller(first) }
      if let second { loop.removePoller(second) }
      third = loop.addPoller {
        calls.append("third")
        if let third { loop.removePoller(third) }
        loop.stop()
        return false
      }
      return true
    }
    second = loop.addPoller {
      calls.append("second")
      return false
    }
    try loop.run()
    #expect(calls == ["first", "third"])
  }

  @Test("What is posted from another thread wakes a loop that sleeps, every time")
  func wakes() throws {
    let thread = try LoopThread(name: "sleeper", polling: .never)
    let answer = EventDescriptorBox(try EventDescriptor())
    for _ in 0..<5000 {
      thread.loop.post { answer.event.signal() }
      try #require(answer.event.wait(timeout: .seconds(60)) == 1)
    }
  }

  @Test("A loop that polls without end goes on after its last poller is gone")
  func lastPollerGone() throws {
    let loop = try EventLoop(polling: .always)
    var token: PollerToken?
    token = loop.addPoller {
      if let token { loop.removePoller(token) }
      loop.schedule(after: .milliseconds(2)) { loop.stop() }
      return false
    }
    try loop.run()
  }

  @Test("Once round: a loop that polls without end returns with the first work that it finds")
  func once() throws {
    let loop = try EventLoop(polling: .always)
    var rounds = 0
    let token = loop.addPoller {
      rounds += 1
      return rounds == 3
    }
    try loop.runOnce(timeout: nil)
    #expect(rounds == 3)
    try loop.runOnce(timeout: .milliseconds(1))
    #expect(rounds > 3)
    loop.removePoller(token)
  }
}
