import BlockStorage
import NVMe
import Synchronization
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// Doorbells over descriptors.
@Suite("NVMe doorbells over descriptors", .timeLimit(.minutes(10)), .serialized)
struct DoorbellPathTests {
  /// Which regions changed.
  final class Heard: Sendable {
    private let indices = Mutex<[Int]>([])
    func note(_ index: Int) { indices.withLock { $0.append(index) } }
    var all: [Int] { indices.withLock { $0 } }
  }

  static func rig(
    _ settings: String = "doorbells=auto", heard: Heard = Heard(), descriptorCount: Int = 253,
    polling: PollingMode = .never
  ) throws -> NVMeRig {
    var options = ClientOptions()
    options.maximumMessageDescriptorCount = descriptorCount
    options.onRegionChanged = { heard.note($0) }
    return try NVMeRig(
      settings, storages: [NullStorage(byteCount: 1 << 30)], polling: polling, options: options)
  }

  /// Has the rig ring by these descriptors, and counts what it does otherwise.
  static func use(_ ports: DoorbellPorts, _ rig: NVMeRig) {
    rig.ringsElsewhere = { try ports.ring($0, $1) }
    rig.ringCount = 0
  }

  @Test(
    "I20: every tail value reaches the device over ioregionfds while commands run",
    arguments: ["queue-threads=0", "queue-threads=2"], [false, true])
  func everyValue(settings: String, isAdaptive: Bool) throws {
    let rig = try Self.rig(settings, polling: isAdaptive ? .adaptive : .never)
    let ports = try DoorbellPorts(rig)
    #expect(ports.signalled.isEmpty)
    Self.use(ports, rig)
    let queues = try (1...3).map { try rig.makePair(UInt16($0), entryCount: 32) }
    // One command for each value: it ends only if its very tail was told.
    for _ in 0..<100 {
      for queue in queues {
        try rig.putReads(1, in: queue)
        try rig.ring(queue)
      }
      for queue in queues { #expect(try rig.reap(queue, 1).count == 1) }
    }
    // And many values in a row, the last of which counts.
    for queue in queues {
      for _ in 0..<31 {
        try rig.putReads(1, in: queue)
        try rig.ring(queue)
      }
      #expect(try rig.reap(queue, 31).count == 31)
      let place = ControllerRegisterOffset.doorbells + UInt64(queue.identifier) * 8
      #expect(try rig.load(place) == UInt32(queue.tail))
    }
    // No doorbell was a message, those of the admin queue included.
    #expect(rig.ringCount == 0)
    #expect(ports.counts[.ioregionfd, default: 0] >= 393 + 303)
    try rig.client.process()
  }

  @Test("E17: doorbells over a descriptor that make no sense do no harm")
  func wrongValues() throws {
    let rig = try Self.rig()
    let ports = try DoorbellPorts(rig)
    Self.use(ports, rig)
    let queue = try rig.makePair(1, entryCount: 8)
    // Nothing of this does harm: no such value, no such queue, not a doorbell's place or size.
    #expect(try ports.ring(8, 8) && ports.ring(.max, 8) && ports.ring(1, 40 * 8))
    #expect(try ports.ring(1, 0xff8))
    for _ in 0..<20 {
      try rig.putReads(3, in: queue)
      try rig.ring(queue)
      #expect(try rig.reap(queue, 3).count == 3)
    }
    #expect(try !rig.status.isFatal)
  }

  @Test("I16: with threads the queues of each have a descriptor of their own, that of admin too")
  func groups() throws {
    let rig = try Self.rig("queue-threads=3")
    let ports = try DoorbellPorts(rig)
    #expect(ports.descriptors.descriptorCount == 4)
    let admin = try #require(ports.entry(0)).descriptorIndex
    for number in 1...64 {
      let own = try #require(ports.entry(number * 8)).descriptorIndex
      let head = try #require(ports.entry(number * 8 + 4)).descriptorIndex
      #expect(own == head && own != admin)
      let neighbour = (number - 1) % 3 + 1
      #expect(own == ports.entry(neighbour * 8)?.descriptorIndex)
      #expect(own != ports.entry((neighbour % 3 + 1) * 8)?.descriptorIndex)
    }
    // What no queue has goes with admin; each place has exactly one path.
    #expect(ports.entry(65 * 8)?.descriptorIndex == admin)
    let covered = ports.entries.reduce(0) { $0 + $1.byteCount }
    #expect(covered == 0x1000)
  }

  @Test("I23: a client with room for few descriptors rings the other doorbells by message")
  func fewDescriptors() throws {
    let rig = try Self.rig("queue-threads=3", descriptorCount: 2)
    let ports = try DoorbellPorts(rig)
    #expect(ports.descriptors.descriptorCount == 2)
    Self.use(ports, rig)
    for number in 1...3 {
      let queue = try rig.makePair(UInt16(number), entryCount: 32)
      try rig.putReads(20, in: queue)
      try rig.ring(queue)
      #expect(try rig.reap(queue, 20).count == 20)
    }
    #expect(rig.ringCount > 0 && ports.counts[.ioregionfd, default: 0] > 0)
  }

  @Test("I19: a page that clients may map has no descriptors")
  func mapped() throws {
    let rig = try Self.rig("doorbells=mapped", polling: .always)
    #expect(try DoorbellPorts(rig).entries.isEmpty)
  }

  @Test(
    "E2: a storm of doorbells by ioeventfd costs no message",
    arguments: ["queue-threads=0", "queue-threads=2"])
  func storm(_ settings: String) throws {
    let heard = Heard()
    let rig = try Self.rig(settings, heard: heard)
    try rig.useShadowDoorbells()
    let queues = try (1...2).map { try rig.makePair(UInt16($0), entryCount: 256) }
    _ = try rig.status
    #expect(heard.all.count >= 4 && heard.all.allSatisfy { $0 == 0 })
    let ports = try DoorbellPorts(rig)
    #expect(ports.signalled == [8, 12, 16, 20])
    Self.use(ports, rig)
    let changes = heard.all.count
    for count in 1...200 {
      for queue in queues {
        try rig.putReads(count, in: queue)
        try rig.ring(queue)
        // More than the driver has to: a storm.
        for _ in 0..<10 { #expect(try ports.ring(0, Int(queue.identifier) * 8)) }
      }
      for queue in queues { #expect(try rig.reap(queue, count).count == count) }
    }
    #expect(rig.ringCount == 0 && ports.counts[.ioregionfd] == nil)
    // Nothing has come on the socket meanwhile.
    try rig.client.process()
    #expect(heard.all.count == changes)
  }

  @Test("E2, I20: a reset takes the eventfds back before the driver sees its end")
  func reset() throws {
    let heard = Heard()
    let rig = try Self.rig("queue-threads=1", heard: heard)
    for round in 0..<3 {
      try rig.useShadowDoorbells()
      let queue = try rig.makePair(1, entryCount: 64)
      let armed = try DoorbellPorts(rig)
      #expect(armed.signalled == [8, 12])
      Self.use(armed, rig)
      try rig.putReads(30, in: queue)
      try rig.ring(queue)
      #expect(try rig.reap(queue, 30).count == 30)
      let changes = heard.all.count
      rig.ringsElsewhere = nil
      rig.shadow = nil
      if round == 2 {
        try rig.client.reset()
        try rig.setCommand(6)
      } else {
        try rig.disable()
      }
      #expect(heard.all.count > changes)
      // By value again.
      let disarmed = try DoorbellPorts(rig)
      #expect(disarmed.signalled.isEmpty)
      try rig.enable()
      Self.use(disarmed, rig)
      let fresh = try rig.makePair(1, entryCount: 64)
      for _ in 0..<70 {
        try rig.putReads(1, in: fresh)
        try rig.ring(fresh)
        #expect(try rig.reap(fresh, 1).count == 1)
      }
      // An eventfd that a monitor kept has no value to give, and does no harm.
      #expect(try armed.ring(0, 8))
      try rig.putReads(5, in: fresh)
      try rig.ring(fresh)
      #expect(try rig.reap(fresh, 5).count == 5)
      #expect(rig.ringCount == 0)
      rig.ringsElsewhere = nil
      try rig.disable()
      try rig.enable()
    }
  }

  @Test("E2: eventfds come and go with the queues")
  func queues() throws {
    let rig = try Self.rig()
    try rig.useShadowDoorbells()
    #expect(try DoorbellPorts(rig).signalled.isEmpty)
    let first = try rig.makePair(1, entryCount: 16)
    let third = try rig.makePair(3, entryCount: 16)
    #expect(try DoorbellPorts(rig).signalled == [8, 12, 24, 28])
    try rig.deletePair(first)
    let ports = try DoorbellPorts(rig)
    #expect(ports.signalled == [24, 28])
    Self.use(ports, rig)
    try rig.putReads(9, in: third)
    try rig.ring(third)
    #expect(try rig.reap(third, 9).count == 9)
    // Set up after the queues are there.
    let other = try Self.rig()
    _ = try other.makePair(2, entryCount: 16)
    try other.useShadowDoorbells()
    #expect(try DoorbellPorts(other).signalled == [16, 20])
  }
}
