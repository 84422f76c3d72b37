import KVMSupport
import Synchronization

@testable import VFIOUser

/// Work beside a test, on a thread of its own that nobody joins.
enum Detached {
  static func run(_ work: @escaping @Sendable () -> Void) throws {
    let thread = try LoopThread(name: "beside", polling: .never)
    let box = Box(thread)
    thread.loop.post {
      work()
      // Ends itself.
      box.thread.withLock { $0 = nil }
    }
  }

  private final class Box: Sendable {
    let thread: Mutex<Held?>
    init(_ thread: LoopThread) { self.thread = Mutex(Held(thread: thread)) }
  }

  private struct Held: @unchecked Sendable {
    // Only released.
    let thread: LoopThread
  }
}
