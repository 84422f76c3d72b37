import Testing

@testable import VFIOUser

@Suite("Loops that say when they sleep") struct LoopSleeperTests {
  private final class Sleeper: LoopSleeper {
    var calls: [String] = []
    var work = 0
    var onWork: () -> Void = {}

    func willSleep() { calls.append("will sleep") }
    func takeWork() -> Bool {
      calls.append("look")
      guard work > 0 else { return false }
      work -= 1
      onWork()
      return true
    }
    func didWake() { calls.append("awake") }
  }

  @Test("A sleeper is told before the sleep and after it", arguments: PollingMode.allCases)
  func told(polling: PollingMode) throws {
    let loop = try EventLoop(polling: polling)
    let sleeper = Sleeper()
    loop.addSleeper(sleeper)
    try loop.runOnce(timeout: .milliseconds(1))
    #expect(sleeper.calls == ["will sleep", "look", "awake"])
    loop.removeSleeper(sleeper)
    try loop.runOnce(timeout: .milliseconds(1))
    #expect(sleeper.calls.count == 3)
  }

  @Test("A loop that finds work on its way to bed does not sleep, and looks at everything else")
  func work() throws {
    let loop = try EventLoop(polling: .never)
    let sleeper = Sleeper()
    let event = try EventDescriptor()
    var events = 0
    let watch = try loop.watch(event.rawValue, .readable) { _ in
      _ = event.consume()
      events += 1
    }
    sleeper.work = 3
    sleeper.onWork = { event.signal() }
    loop.addSleeper(sleeper)
    // Without work each of them would wait for ever.
    for round in 1...3 {
      try loop.runOnce(timeout: nil)
      #expect(events == round)
    }
    loop.unwatch(watch)
  }

  @Test("Sleepers may come and go while they are told")
  func changes() throws {
    let loop = try EventLoop(polling: .never)
    let first = Sleeper()
    let second = Sleeper()
    first.work = 1
    first.onWork = {
      loop.removeSleeper(first)
      loop.addSleeper(second)
    }
    loop.addSleeper(first)
    try loop.runOnce(timeout: nil)
    #expect(first.calls == ["will sleep", "look"])
    try loop.runOnce(timeout: .milliseconds(1))
    #expect(second.calls.suffix(3) == ["will sleep", "look", "awake"])
    // It refers to its sleeper.
    first.onWork = {}
  }
}
