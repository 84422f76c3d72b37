import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Interrupts") struct InterruptTests {
  @Test("E6: an assigned vector signals its eventfd, and no other")
  func delivery() throws {
    let rig = try InterruptRig()
    let first = try rig.assign(0)
    let second = try rig.assign(5)
    try rig.set(2).raise(5)
    #expect(first.consume() == nil)
    #expect(second.consume() == 1)
    try rig.set(2).raise(5)
    try rig.set(2).raise(5)
    #expect(second.consume() == 2, "edges are not lost")
    try rig.set(2).raise(0)
    #expect(first.consume() == 1)
    #expect(try rig.set(2).deliveredCount == 4)
  }

  @Test("E6: the client masks and unmasks without data; what waits is delivered once, on unmask")
  func maskNone() throws {
    let rig = try InterruptRig()
    let event = try rig.assign()
    #expect(try rig.configure(.mask, .all) == nil)
    try rig.set(2).raise(0)
    try rig.set(2).raise(0)
    #expect(event.consume() == nil)
    #expect(try rig.set(2).isPending(0))
    #expect(try rig.configure(.unmask, .all) == nil)
    #expect(event.consume() == 1)
    #expect(try !rig.set(2).isPending(0))
    #expect(try rig.configure(.unmask, .all) == nil)
    #expect(event.consume() == nil)
  }

  @Test("E6: booleans choose the vectors of a range")
  func booleans() throws {
    let rig = try InterruptRig()
    let events = try (2..<5).map { EventBox(try rig.assign($0)) }
    #expect(try rig.configure(.mask, .flagged([1, 0, 255]), 2, 2..<5) == nil)
    for vector in 2..<5 { try rig.set(2).raise(vector) }
    #expect(events.map { $0.event.consume() } == [nil, 1, nil])
    #expect(try rig.configure(.unmask, .flagged([0, 0, 1]), 2, 2..<5) == nil)
    #expect(events.map { $0.event.consume() } == [nil, nil, 1])
    #expect(try rig.configure(.unmask, .flagged([1, 1, 1]), 2, 2..<5) == nil)
    #expect(events.map { $0.event.consume() } == [1, nil, nil])
    #expect(try rig.configure(.trigger, .flagged([0, 1, 1]), 2, 2..<5) == nil)
    #expect(events.map { $0.event.consume() } == [nil, 1, 1])
  }

  @Test("E6: the client triggers vectors itself")
  func triggerNone() throws {
    let rig = try InterruptRig()
    let event = try rig.assign(1)
    #expect(try rig.configure(.trigger, .all, 2, 0..<8) == nil)
    #expect(event.consume() == 1)
    #expect(try rig.set(2).isPending(0), "the others wait for an eventfd")
  }

  @Test("E6: the bus's mask tells the client's mask and unmask eventfds")
  func maskEvents() throws {
    let rig = try InterruptRig()
    let masked = try EventDescriptor()
    let unmasked = try EventDescriptor()
    #expect(try rig.configure(.mask, .eventfds, 2, 3..<4, events: [masked.rawValue]) == nil)
    #expect(try rig.configure(.unmask, .eventfds, 2, 3..<4, events: [unmasked.rawValue]) == nil)
    let set = try rig.set(2)
    set.setBusMask(true, vector: 3)
    set.setBusMask(true, vector: 3)
    #expect(masked.consume() == 1)
    #expect(unmasked.consume() == nil)
    set.setBusMask(false, vector: 3)
    #expect(unmasked.consume() == 1)
    #expect(try rig.configure(.mask, .eventfds, 2, 3..<4) == nil)
    set.setBusMask(true, vector: 3)
    #expect(masked.consume() == nil)
  }

  @Test("E6: an interrupt raised before its eventfd is assigned is delivered on assignment")
  func pendingUntilAssigned() throws {
    let rig = try InterruptRig()
    try rig.set(2).raise(0)
    #expect(try rig.set(2).isPending(0))
    let event = try rig.assign()
    #expect(event.consume() == 1)
  }

  @Test("E6: no descriptors take the eventfds of a range back")
  func deassign() throws {
    let rig = try InterruptRig()
    let events = try (0..<3).map { EventBox(try rig.assign($0)) }
    #expect(try rig.configure(.trigger, .eventfds, 2, 1..<3) == nil)
    for vector in 0..<3 { try rig.set(2).raise(vector) }
    #expect(events.map { $0.event.consume() } == [1, nil, nil])
    #expect(events.map { openCopies(of: $0.event.rawValue) } == [2, 1, 1])
  }

  @Test("E6: disabling takes back every eventfd and mask of the type, and no other's")
  func disable() throws {
    let rig = try InterruptRig()
    let event = try rig.assign(7)
    let line = try rig.assign(0, InterruptRig.line)
    #expect(try rig.configure(.mask, .all, 2, 0..<8) == nil)
    #expect(try rig.rig.call(SetIRQs.disable(index: 2)).header.failure == nil)
    #expect(openCopies(of: event.rawValue) == 1)
    try rig.set(0).setLevel(true)
    #expect(line.consume() == 1)
    let again = try rig.assign(7)
    try rig.set(2).raise(7)
    #expect(again.consume() == 1, "not masked any more")
    #expect(event.consume() == nil)
  }

  @Test("E6: a line masks itself when it fires, and UNMASK delivers it again while it is asserted")
  func automask() throws {
    let rig = try InterruptRig()
    let event = try rig.assign(0, InterruptRig.line)
    let set = try rig.set(0)
    set.setLevel(true)
    set.setLevel(true)
    #expect(event.consume() == 1)
    #expect(try rig.configure(.unmask, .all, 0) == nil)
    #expect(event.consume() == 1, "the cause is still there")
    set.setLevel(false)
    #expect(try rig.configure(.unmask, .all, 0) == nil)
    #expect(event.consume() == nil)
    set.setLevel(true)
    #expect(event.consume() == 1)
    set.setLevel(false)
    set.setLevel(true)
    #expect(event.consume() == nil, "it is masked until UNMASK")
    #expect(try rig.configure(.unmask, .flagged([1]), 0) == nil)
    #expect(event.consume() == 1)
  }

  @Test("E6: a line that the client masks waits for its UNMASK")
  func maskedLine() throws {
    let rig = try InterruptRig()
    let event = try rig.assign(0, InterruptRig.line)
    #expect(try rig.configure(.mask, .all, 0) == nil)
    try rig.set(0).setLevel(true)
    #expect(event.consume() == nil)
    try rig.set(0).setLevel(false)
    #expect(try rig.configure(.unmask, .all, 0) == nil)
    #expect(event.consume() == nil, "withdrawn while masked")
    #expect(try rig.configure(.mask, .all, 0) == nil)
    try rig.set(0).setLevel(true)
    #expect(try rig.configure(.unmask, .all, 0) == nil)
    #expect(event.consume() == 1)
  }

  @Test("E6: the client's resample eventfd unmasks a line")
  func resample() throws {
    let rig = try InterruptRig()
    let event = try rig.assign(0, InterruptRig.line)
    let resample = try EventDescriptor()
    #expect(try rig.configure(.unmask, .eventfds, 0, events: [resample.rawValue]) == nil)
    let set = try rig.set(0)
    set.setLevel(true)
    #expect(event.consume() == 1)
    resample.signal()
    try rig.rig.work()
    #expect(event.consume() == 1, "still asserted")
    #expect(resample.consume() == nil, "the server has taken it")
    set.setLevel(false)
    resample.signal()
    try rig.rig.work()
    #expect(event.consume() == nil)
    set.setLevel(true)
    #expect(event.consume() == 1)
    // Taken back: its signals mean nothing any more.
    #expect(try rig.configure(.unmask, .eventfds, 0) == nil)
    resample.signal()
    try rig.rig.work()
    #expect(event.consume() == nil)
    #expect(resample.consume() == 1)
    #expect(openCopies(of: resample.rawValue) == 1)
  }

  @Test("E6: a resample eventfd is replaced, and the old one is let go")
  func replacedResample() throws {
    let rig = try InterruptRig()
    let event = try rig.assign(0, InterruptRig.line)
    let events = try (0..<2).map { _ in EventBox(try EventDescriptor()) }
    for one in events {
      #expect(try rig.configure(.unmask, .eventfds, 0, events: [one.event.rawValue]) == nil)
    }
    #expect(events.map { openCopies(of: $0.event.rawValue) } == [1, 2])
    try rig.set(0).setLevel(true)
    _ = event.consume()
    events[0].event.signal()
    try rig.rig.work()
    #expect(event.consume() == nil)
    events[1].event.signal()
    try rig.rig.work()
    #expect(event.consume() == 1)
  }

  @Test("E6: vectors share an eventfd, which counts them all")
  func shared() throws {
    let rig = try InterruptRig()
    let event = try EventDescriptor()
    let events = [CInt](repeating: event.rawValue, count: 8)
    #expect(try rig.configure(.trigger, .eventfds, 2, 0..<8, events: events) == nil)
    for vector in 0..<8 { try rig.set(2).raise(vector) }
    #expect(event.consume() == 8)
    #expect(try rig.configure(.trigger, .eventfds, 2, 0..<7) == nil)
    for vector in 0..<8 { try rig.set(2).raise(vector) }
    #expect(event.consume() == 1)
  }

  @Test("E6: the bus's gate holds vectors back, or forgets them")
  func gate() throws {
    let rig = try InterruptRig()
    let event = try rig.assign()
    let set = try rig.set(2)
    set.setBusGate(.hold)
    set.raise(0)
    #expect(event.consume() == nil)
    set.setBusGate(.open)
    #expect(event.consume() == 1)
    set.setBusGate(.closed)
    set.raise(0)
    set.setBusGate(.open)
    #expect(event.consume() == nil)
  }

  @Test("E6: every obstacle holds a vector back until the last one goes")
  func obstacles() throws {
    let rig = try InterruptRig()
    let event = try rig.assign()
    let set = try rig.set(2)
    var changes: [Bool] = []
    set.onPendingChange = { changes.append($1) }
    set.setBusGate(.hold)
    set.setBusMask(true, vector: 0)
    #expect(try rig.configure(.mask, .all) == nil)
    set.raise(0)
    set.setBusGate(.open)
    #expect(event.consume() == nil)
    #expect(try rig.configure(.unmask, .all) == nil)
    #expect(event.consume() == nil)
    set.setBusMask(false, vector: 0)
    #expect(event.consume() == 1)
    #expect(changes == [true, false])
    set.withdraw(0)
    #expect(changes == [true, false])
  }

  @Test("A vector that the device does not have is ignored", arguments: [-1, 8, Int.max])
  func unknownVector(vector: Int) throws {
    let set = try InterruptRig().set(2)
    set.raise(vector)
    set.setLevel(true, vector: vector)
    set.setBusMask(true, vector: vector)
    set.withdraw(vector)
    #expect(!set.isPending(vector))
    #expect(set.deliveredCount == 0)
  }

  @Test("V11: a client that goes takes its eventfds and masks with it; what waits stays")
  func disconnect() throws {
    let rig = try InterruptRig()
    let event = try rig.assign(1)
    let line = try rig.assign(0, InterruptRig.line)
    let resample = try EventDescriptor()
    #expect(try rig.configure(.unmask, .eventfds, 0, events: [resample.rawValue]) == nil)
    try rig.set(0).setLevel(true)
    #expect(line.consume() == 1)
    #expect(try rig.configure(.mask, .all, 2, 0..<8) == nil)
    try rig.set(2).raise(1)
    try rig.rig.hangUp()
    #expect(openCopies(of: event.rawValue) == 1)
    #expect(openCopies(of: line.rawValue) == 1)
    #expect(openCopies(of: resample.rawValue) == 1)
    try rig.rig.reconnect()
    #expect(try rig.assign(1).consume() == 1)
    #expect(try rig.assign(0, InterruptRig.line).consume() == 1, "the line is asserted")
  }

  @Test("An eventfd that a peer made blocking never blocks the device")
  func blockingEvent() throws {
    let rig = try InterruptRig()
    let raw = eventfd(0, 0)
    let event = OwnedDescriptor(adopting: raw)
    #expect(try rig.configure(.trigger, .eventfds, events: [raw]) == nil)
    // One below the most that an eventfd counts to: the next signal would block.
    var most = UInt64.max - 1
    _ = write(raw, &most, 8)
    try rig.set(2).raise(0)
    try rig.set(2).raise(0)
    var value: UInt64 = 0
    _ = read(raw, &value, 8)
    // It may be at the very most then: who waits for it is due anyway.
    #expect(value >= most)
    _ = consume event
  }
}

/// An eventfd that an array can hold.
final class EventBox {
  let event: EventDescriptor
  init(_ event: consuming EventDescriptor) { self.event = event }
}
