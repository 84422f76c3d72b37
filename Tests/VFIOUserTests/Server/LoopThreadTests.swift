import Testing

@testable import VFIOUser

@Suite("Threads that run a loop", .timeLimit(.minutes(10)))
struct LoopThreadTests {
  @Test("E9: a loop that is stopped as soon as it runs ends, each time")
  func stop() throws {
    for round in 0..<3000 {
      let thread = try LoopThread(name: "stopped", polling: round % 2 == 0 ? .never : .adaptive)
      thread.end()
    }
  }
}
