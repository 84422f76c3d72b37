import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

@Suite("Interrupts raised by other loops", .serialized) struct TriggerTests {
  private final class Flag: Sendable {
    let isSet = Atomic<Bool>(false)
    let raised = Atomic<Int>(0)
  }

  private let rig: InterruptRig
  private let set: InterruptSet

  init() throws {
    rig = try InterruptRig()
    set = try rig.set(InterruptRig.vectors)
    try rig.rig.loop.runOnce(timeout: .zero)
  }

  private func trigger(_ vector: Int = 0) -> InterruptTrigger {
    set.makeTrigger(vector: vector) { [set] in set.raise(vector) }
  }

  /// Raises on a thread of its own, once.
  private func raiseElsewhere(_ trigger: InterruptTrigger, _ times: Int = 1) {
    TestThread { for _ in 0..<times { trigger.raise() } }.join()
  }

  @Test("E6: a clear vector is delivered at once, before the device's loop has run")
  func direct() throws {
    let trigger = trigger()
    let event = try rig.assign()
    raiseElsewhere(trigger, 3)
    #expect(event.consume() == 3)
    #expect(set.deliveredCount == 3)
    #expect(!set.isPending(0))
  }

  @Test("E6: a masked vector is pending, and delivered once when the mask goes")
  func masked() throws {
    let event = try rig.assign()
    let trigger = trigger()
    for mask in 0..<3 {
      switch mask {
      case 0: #expect(try rig.configure(.mask, .all) == nil)
      case 1: set.setBusMask(true, vector: 0)
      default: set.setBusGate(.hold)
      }
      raiseElsewhere(trigger, 2)
      try rig.rig.work()
      #expect(event.consume() == nil)
      #expect(set.isPending(0))
      switch mask {
      case 0: #expect(try rig.configure(.unmask, .all) == nil)
      case 1: set.setBusMask(false, vector: 0)
      default: set.setBusGate(.open)
      }
      #expect(event.consume() == 1)
      #expect(!set.isPending(0))
    }
  }

  @Test("E6: a vector without an eventfd is pending, one of a closed type is forgotten")
  func unassigned() throws {
    let trigger = trigger()
    raiseElsewhere(trigger)
    try rig.rig.work()
    #expect(set.isPending(0))
    let event = try rig.assign()
    #expect(event.consume() == 1)
    set.setBusGate(.closed)
    raiseElsewhere(trigger)
    try rig.rig.work()
    set.setBusGate(.open)
    #expect(event.consume() == nil)
    #expect(!set.isPending(0))
  }

  @Test("E6: after a disconnect nothing is written to the old client's eventfd")
  func disconnected() throws {
    let event = try rig.assign()
    let trigger = trigger()
    try rig.rig.hangUp()
    raiseElsewhere(trigger)
    try rig.rig.work()
    #expect(event.consume() == nil)
    #expect(set.isPending(0))
  }

  @Test("E6: a trigger for a vector that the type does not have takes its route")
  func noSuchVector() throws {
    var routed = 0
    let trigger = set.makeTrigger(vector: 99) { routed += 1 }
    trigger.raise()
    #expect(routed == 1, "at once on the device's own loop")
  }

  @Test("E6: masks, new eventfds and releases while another loop raises: none lost, none late")
  func underLoad() throws {
    let trigger = trigger()
    let flag = Flag()
    let thread = TestThread {
      while !flag.isSet.load(ordering: .relaxed) {
        trigger.raise()
        flag.raised.add(1, ordering: .relaxed)
        if flag.raised.load(ordering: .relaxed) % 64 == 0 { usleep(10) }
      }
    }
    defer {
      flag.isSet.store(true, ordering: .relaxed)
      thread.join()
    }
    var total: UInt64 = 0
    for round in 0..<150 {
      let event = try rig.assign()
      let before = flag.raised.load(ordering: .relaxed)
      while flag.raised.load(ordering: .relaxed) < before + 3 { sched_yield() }
      switch round % 4 {
      case 0: #expect(try rig.configure(.mask, .all) == nil)
      case 1: set.setBusMask(true, vector: 0)
      case 2: set.setBusGate(.hold)
      default: set.releaseAll()
      }
      // Whatever was under way is over: nothing arrives any more, and the next raise is pending.
      total += event.consume() ?? 0
      let now = flag.raised.load(ordering: .relaxed)
      while flag.raised.load(ordering: .relaxed) < now + 3 { sched_yield() }
      #expect(event.consume() == nil)
      try rig.rig.loop.runOnce(timeout: .zero)
      #expect(set.isPending(0))
      switch round % 4 {
      case 0: #expect(try rig.configure(.unmask, .all) == nil)
      case 1: set.setBusMask(false, vector: 0)
      case 2: set.setBusGate(.open)
      default: break
      }
      if round % 4 != 3 { #expect(!set.isPending(0)) }
      set.releaseAll()
      total += event.consume() ?? 0
    }
    flag.isSet.store(true, ordering: .relaxed)
    thread.join()
    try rig.rig.work()
    #expect(set.deliveredCount == total)
  }
}
