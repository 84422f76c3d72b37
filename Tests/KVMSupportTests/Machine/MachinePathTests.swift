import Testing
import VFIOUser

@testable import KVMSupport

/// One BAR that is reached in every way.
@Suite(.serialized, .timeLimit(.minutes(10))) struct MachinePathTests {
  private static let window: UInt64 = 0xe000_0000

  private func attach(_ test: TestMachine, offersMailbox: Bool) throws -> RegionWindow {
    var options = Machine.clientOptions
    options.offersMailbox = offersMailbox
    let device = try test.attach(PathDevice.self, options: options).device
    return try #require(device.placements.first).window
  }

  @Test(
    "I19, E2, E3: messages, a descriptor, shared memory and eventfds serve one BAR, each its part",
    arguments: TestMachine.engines, [false, true])
  func mixed(_ engine: MachineOptions.Engine, _ offersMailbox: Bool) throws {
    let test = try TestMachine(engine)
    let window = try attach(test, offersMailbox: offersMailbox)
    #expect(window.fallbacks.isEmpty, "\(window.fallbacks)")
    #expect(window.events.count == 2)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.read(Self.window, into: 0)
    script.write(Self.window + 0x1010, 0x1122_3344)
    script.read(Self.window + 0x1012, 2, into: 1)
    script.write(Self.window + 0x2008, 0x5566_7788)
    script.read(Self.window + 0x2008, into: 2)
    script.write(Self.window + 0x3000, 5)
    script.append(.poll(at: GuestAddress(Self.window + 4), byteCount: 4, until: 1))
    script.write(Self.window + 0x3004, 7)
    script.append(.poll(at: GuestAddress(Self.window + 4), byteCount: 4, until: 2))
    // Another value than the one that the eventfd is for: a message.
    script.write(Self.window + 0x3004, 8)
    script.read(Self.window + 4, into: 3)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(4) == [0x5566_7788, 0x1122, 0x5566_7788, 3])
    func counts(_ offset: UInt64) -> [AccessMechanism: Int]? {
      window.usage.first { $0.part.offset == RegionOffset(offset) }?.counts
    }
    #expect(counts(0x1000) == [offersMailbox ? .mailbox : .ioregionfd: 2])
    if engine == .software {
      #expect(counts(0x2000) == [.mapped: 2])
    } else {
      #expect(counts(0x2000) == [:], "KVM does it by itself")
    }
    #expect(counts(0)?[.message] ?? 0 >= 4)
  }

  @Test(
    "I23: a device changes how it is reached, and the machine follows",
    arguments: TestMachine.engines)
  func replanned(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let window = try attach(test, offersMailbox: false)
    let events = test.events
    try test.machine.space.place(
      CallHandler {
        _ = events.wait { events in
          events.contains { if case .deviceReplanned(_, region: 0) = $0 { true } else { false } }
        }
      }, in: .port, at: GuestAddress(0x500), byteCount: 1)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 0x1000, 0x77)
    script.write(Self.window + 8, 1)
    script.append(.write(.port, at: GuestAddress(0x500), 1, byteCount: 1))
    script.read(Self.window + 0x1000, into: 0)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(1) == [0x77])
    #expect(window.usage.allSatisfy { $0.counts[.ioregionfd] == nil }, "\(window.usage)")
    #expect(
      window.usage.contains { $0.part.path == .message && $0.counts[.message] ?? 0 > 0 })
    if case .deviceReplanned(let address, _)? = test.events.value.first {
      #expect(address == PCIAddress(device: 1))
    }
  }

  @Test(
    "I23: what a device says of its paths before it answers an access is in force after the answer",
    arguments: TestMachine.engines, [false, true])
  func replannedAtOnce(_ engine: MachineOptions.Engine, _ offersMailbox: Bool) throws {
    let test = try TestMachine(engine)
    let window = try attach(test, offersMailbox: offersMailbox)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 0x1000, 0x66)
    script.write(Self.window + 8, 1)
    script.write(Self.window + 0x1000, 0x77)
    script.read(Self.window + 0x1000, into: 0)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(1) == [0x77])
    // Only what came before went over the descriptor.
    #expect(window.formerUsage[offersMailbox ? .mailbox : .ioregionfd] == 1)
    let counts = window.usage.reduce(into: [:]) { $0.merge($1.counts, uniquingKeysWith: +) }
    #expect(counts == [.message: 2])
  }

  @Test(
    "V12: the descriptor, memory and eventfds of a server that has died read as all ones",
    arguments: TestMachine.engines)
  func death(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (_, server) = try test.attach(PathDevice.self)
    let events = test.events
    try test.machine.space.place(
      CallHandler {
        server.die()
        _ = events.wait { events in
          events.contains { if case .deviceLost = $0 { true } else { false } }
        }
      }, in: .port, at: GuestAddress(0x500), byteCount: 1)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 0x2000, 1)
    script.append(.write(.port, at: GuestAddress(0x500), 1, byteCount: 1))
    for (index, offset) in ([0, 0x1000, 0x2000, 0x3000] as [UInt64]).enumerated() {
      script.read(Self.window + offset, into: index)
      script.write(Self.window + offset, 1)
    }
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(4).allSatisfy { $0 == UInt64(UInt32.max) })
  }
}
