import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// What a peer that shares an eventfd's open file can do to whoever uses it.
@Suite("Eventfds of a hostile peer", .timeLimit(.minutes(3))) struct SharedEventTests {
  /// A peer: it fills the counter, empties it, and makes the open file blocking.
  private struct Peer: Sendable {
    let descriptor: CInt

    func fill() {
      #expect(cvfu_set_nonblocking(descriptor, true) == 0)
      _ = cvfu_event_consume(descriptor)
      var most = UInt64.max - 1
      _ = write(descriptor, &most, 8)
      #expect(cvfu_set_nonblocking(descriptor, false) == 0)
    }

    func empty() { _ = cvfu_event_consume(descriptor) }
  }

  private final class Shared: Sendable {
    let progress = Atomic(0)
    let isOver = Atomic(false)
    let isStuck = Atomic(false)
  }

  @Test("E16: an eventfd that is full and blocking is signalled without waiting")
  func full() throws {
    let event = try EventDescriptor()
    let peer = Peer(descriptor: event.rawValue)
    peer.fill()
    for _ in 0..<3 { event.signal() }
    let value = event.consume()
    #expect(value ?? 0 >= UInt64.max - 1)
    event.signal()
    #expect(event.consume() == 1)
  }

  @Test("E16: an eventfd that is empty and blocking is looked at without waiting")
  func empty() throws {
    let event = try EventDescriptor()
    #expect(cvfu_set_nonblocking(event.rawValue, false) == 0)
    #expect(event.consume() == nil)
    #expect(event.wait(timeout: .milliseconds(1)) == nil)
    event.signal()
    #expect(event.consume() == 1)
  }

  @Test("E16: more signals than the kernel keeps account of all count")
  func many() throws {
    let event = try EventDescriptor()
    for _ in 0..<5000 { event.signal() }
    #expect(event.consume() == 5000)
  }

  @Test(
    "E16: a peer that fills an eventfd and makes it blocking at any moment holds nobody up",
    .enabled(if: cvfu_event_signal_is_safe()))
  func atAnyMoment() throws {
    let event = try EventDescriptor()
    let peer = Peer(descriptor: event.rawValue)
    let shared = Shared()
    let thread = TestThread {
      var seen = -1
      var patience = MonotonicTime.now
      while !shared.isOver.load(ordering: .acquiring) {
        let now = shared.progress.load(ordering: .relaxed)
        if now != seen {
          seen = now
          patience = MonotonicTime.now.advanced(by: .seconds(60))
          peer.fill()
        } else if MonotonicTime.now >= patience {
          shared.isStuck.store(true, ordering: .relaxed)
          // Lets go of whoever waits.
          peer.empty()
        }
      }
    }
    for round in 0..<20_000 where !shared.isStuck.load(ordering: .relaxed) {
      if round % 8 == 7 { event.consume() } else { event.signal() }
      shared.progress.store(round, ordering: .relaxed)
    }
    shared.isOver.store(true, ordering: .releasing)
    thread.join()
    let isStuck = shared.isStuck.load(ordering: .relaxed)
    #expect(!isStuck, "a call waited for the peer")
  }

  @Test("E16: a client that fills its trigger and makes it blocking does not hold the device up")
  func trigger() throws {
    let rig = try InterruptRig()
    let events = [try EventBox(rig.assign()), try EventBox(rig.assign(0, InterruptRig.line))]
    for event in events { Peer(descriptor: event.event.rawValue).fill() }
    try rig.set(2).raise(0)
    try rig.set(0).setLevel(true)
    for event in events {
      let value = event.event.consume()
      #expect(value ?? 0 >= UInt64.max - 1)
    }
  }
}
