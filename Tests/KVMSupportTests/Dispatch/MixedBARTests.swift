import CVFIOUserLinux
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// One BAR with every path: exactly one mechanism handles each access, with and without a hypervisor.
@Suite("Mixed BAR") struct MixedBARTests {
  /// What stands behind the address space.
  enum Backing: CaseIterable, Sendable {
    case software, hypervisor, hypervisorWithRegions, refusingHypervisor

    var machine: DispatchMachine {
      switch self {
      case .software: return DispatchMachine()
      case .hypervisor: return DispatchMachine(StandInHypervisor())
      case .hypervisorWithRegions:
        return DispatchMachine(StandInHypervisor(providesRegions: true))
      case .refusingHypervisor:
        let hypervisor = StandInHypervisor()
        hypervisor.refusal.update { $0 = .noSpace }
        return DispatchMachine(hypervisor)
      }
    }
  }

  struct Write: Sendable {
    var offset: UInt64
    var value: UInt64
    var byteCount: Int
    var witness: MixedBAR.Witness
  }

  static let writes: [Write] = [
    Write(offset: 0x0, value: 1, byteCount: 4, witness: .message),
    Write(offset: 0xff, value: 1, byteCount: 1, witness: .message),
    Write(offset: 0x100, value: 1, byteCount: 1, witness: .posted),
    Write(offset: 0x1f8, value: 1, byteCount: 8, witness: .posted),
    Write(offset: 0x200, value: 1, byteCount: 8, witness: .monitor),
    Write(offset: 0x20c, value: 1, byteCount: 4, witness: .monitor),
    Write(offset: 0x210, value: 1, byteCount: 4, witness: .message),
    // An eventfd of four bytes and any value.
    Write(offset: 0x300, value: 0, byteCount: 4, witness: .anyEvent),
    Write(offset: 0x300, value: .max, byteCount: 4, witness: .anyEvent),
    Write(offset: 0x300, value: 0, byteCount: 2, witness: .message),
    Write(offset: 0x300, value: 0, byteCount: 8, witness: .message),
    Write(offset: 0x302, value: 0, byteCount: 2, witness: .message),
    Write(offset: 0x2fe, value: 0, byteCount: 4, witness: .message),
    // One of two bytes and one value.
    Write(offset: 0x308, value: 0xbeef, byteCount: 2, witness: .valueEvent),
    Write(offset: 0x308, value: 0xbeee, byteCount: 2, witness: .message),
    Write(offset: 0x308, value: 0xbeef, byteCount: 4, witness: .message),
    // One of any length.
    Write(offset: 0x310, value: 3, byteCount: 1, witness: .lengthlessEvent),
    Write(offset: 0x310, value: 3, byteCount: 8, witness: .lengthlessEvent),
    Write(offset: 0x311, value: 3, byteCount: 1, witness: .message),
    Write(offset: 0x1008, value: 1, byteCount: 1, witness: .memory),
    Write(offset: 0x1008, value: 1, byteCount: 8, witness: .memory),
    Write(offset: 0x2000, value: 1, byteCount: 1, witness: .port),
    Write(offset: 0x20f8, value: 1, byteCount: 8, witness: .port),
    Write(offset: 0x2100, value: 1, byteCount: 4, witness: .port),
    Write(offset: 0x2010, value: 1, byteCount: 4, witness: .portEvent),
    Write(offset: 0x2010, value: 1, byteCount: 2, witness: .port),
    Write(offset: 0x2200, value: 1, byteCount: 4, witness: .message),
    Write(offset: 0x2fff, value: 1, byteCount: 1, witness: .message),
  ]

  @Test(
    "I7 I19 I22: exactly one mechanism handles each access to a BAR of all paths",
    arguments: Backing.allCases, GuestSpace.allCases)
  func oneHandlerEach(backing: Backing, space: GuestSpace) throws {
    let bar = try MixedBAR()
    let machine = backing.machine
    let base: UInt64 = space == .memory ? 0xf000_0000 : 0x4000
    try machine.space.place(bar.window, in: space, at: GuestAddress(base))
    for write in Self.writes {
      machine.write(write.value, base + write.offset, write.byteCount, space)
      let seen = bar.witnesses(portCommands: write.witness == .port ? 1 : 0)
      #expect(seen == [write.witness: 1], "a write of \(write.byteCount) at \(write.offset)")
    }
    let reads: [(UInt64, MixedBAR.Witness?, UInt64)] = [
      (0x0, .message, 0x1000), (0x100, .message, 0x1100), (0x204, .monitor, 0x3004),
      // A read never signals.
      (0x300, .message, 0x1300), (0x308, .message, 0x1308), (0x310, .message, 0x1310),
      (0x2000, .port, 0x2000), (0x2010, .port, 0x2010), (0x2104, .port, 0x2004),
      (0x2200, .message, 0x3200), (0x1000, nil, 0),
    ]
    for (offset, witness, value) in reads {
      #expect(machine.read(base + offset, 4, space) == value, "a read at \(offset)")
      let seen = bar.witnesses(portCommands: witness == .port ? 1 : 0)
      #expect(seen == (witness.map { [$0: 1] } ?? [:]), "a read at \(offset)")
    }
    #expect(machine.events.value.isEmpty)
    if backing == .refusingHypervisor {
      // There are no slots for ports, and none is asked for.
      #expect(bar.window.fallbacks.count == (space == .memory ? 5 : 4))
      #expect(bar.window.fallbacks.allSatisfy { $0.errno == .noSpace })
    } else {
      #expect(bar.window.fallbacks.isEmpty)
    }
    // What exited was counted where it was handled, and what did not was not.
    let counted = bar.window.usage.flatMap(\.counts).reduce(0) { $0 + $1.value }
    let handled = machine.hypervisor?.state.value.handledCount ?? 0
    #expect(counted + handled == Self.writes.count + reads.count)
    machine.space.remove(bar.window)
    bar.end()
  }

  @Test("I19: usage says which mechanism handled how many accesses to which part")
  func usage() throws {
    let bar = try MixedBAR()
    let machine = DispatchMachine()
    try machine.space.place(bar.window, at: GuestAddress(0x10000))
    for _ in 0..<3 { machine.write(1, 0x10000, 4) }
    for _ in 0..<2 { machine.write(1, 0x12000, 4) }
    machine.write(1, 0x10300, 4)
    machine.write(1, 0x12010, 4)
    machine.write(1, 0x11000, 4)
    machine.write(1, 0x10100, 4)
    _ = machine.read(0x10100, 4)
    _ = machine.read(0x10200, 4)
    let used = bar.window.usage.filter { !$0.counts.isEmpty }
    #expect(used.map(\.part.offset.rawValue) == [0, 0x100, 0x200, 0x210, 0x1000, 0x2000])
    #expect(
      used.map(\.counts) == [
        [.message: 3], [.postedMessage: 1, .message: 1], [.monitor: 1], [.ioeventfd: 1],
        [.mapped: 1], [.ioregionfd: 2, .ioeventfd: 1],
      ])
    bar.end()
  }

  @Test(
    "I19: an access over a border is split there, the lower address first",
    arguments: [Backing.software, .hypervisor])
  func straddling(backing: Backing) throws {
    let bar = try MixedBAR()
    let machine = backing.machine
    let base: UInt64 = 0xf000_0000
    try machine.space.place(bar.window, at: GuestAddress(base))
    // Two bytes of messages, six that are posted.
    machine.write(0x8877_6655_4433_2211, base + 0xfe, 8)
    #expect(
      bar.region.messages.value == [
        .init(offset: 0xfe, byteCount: 2, value: 0x2211),
        .init(offset: 0x100, byteCount: 6, value: 0x8877_6655_4433, isPosted: true),
      ])
    _ = bar.witnesses(portCommands: 0)
    // Between two ranges of one port, with other user data.
    _ = machine.read(base + 0x20fe, 4)
    var commands = bar.commands.value
    #expect(commands.map(\.userData) == [7, 8])
    #expect(commands.map(\.offset) == [0xfe, 0])
    #expect(commands.map(\.accessByteCount) == [2, 2])
    _ = bar.witnesses(portCommands: 2)
    // A port takes powers of two: three bytes are two and one.
    machine.write(0xccbbaa, base + 0x2021, 3)
    commands = bar.commands.value
    #expect(commands.map(\.data) == [0xbbaa, 0xcc])
    #expect(commands.map(\.offset) == [0x21, 0x23])
    _ = bar.witnesses(portCommands: 2)
    // Beyond the window there is nobody.
    #expect(machine.read(base + 0x2ffe, 4) == 0xffff_3ffe)
    bar.end()
  }
}
