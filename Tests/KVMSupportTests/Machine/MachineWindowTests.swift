import Testing
import VFIOUser

@testable import KVMSupport

/// Where devices' windows are, and who answers there.
@Suite(.serialized, .timeLimit(.minutes(10))) struct MachineWindowTests {
  private static let window: UInt64 = 0xe000_0000

  @Test(
    "A guest finds a device, and sizes its BARs", arguments: TestMachine.engines)
  func sizing(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    var script = AccessScript()
    script.readConfiguration(slot: 1, 0, into: 0)
    for (index, offset) in ([0x10, 0x14, 0x18, 0x1c, 0x20, 0x30] as [UInt64])
      .enumerated()
    {
      script.writeConfiguration(slot: 1, offset, 0xffff_ffff)
      script.readConfiguration(slot: 1, offset, into: 1 + index)
    }
    script.readConfiguration(slot: 2, 0, into: 7)
    script.readConfiguration(slot: 1, 0x3c, into: 8, byteCount: 2)
    #expect(try test.run(script) == .exited(0))
    #expect(
      try test.results(9) == [
        0x0010_1234, 0xffff_f000, 0xffff_fff1, 0xffff_0004, 0xffff_ffff, 0, 0, 0xffff_ffff,
        0x0100 | UInt64(Machine.line(slot: 1, pin: 1)),
      ])
  }

  @Test(
    "M9: windows appear, move and disappear as the guest says", arguments: TestMachine.engines)
  func moving(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    var script = AccessScript()
    // Placed, but not on.
    script.writeConfiguration(slot: 1, 0x10, Self.window)
    script.read(Self.window, into: 0)
    script.writeConfiguration(slot: 1, 4, 2, byteCount: 2)
    script.read(Self.window, into: 1)
    script.write(Self.window + 4, 0xabcd)
    // Moved while it is on.
    script.writeConfiguration(slot: 1, 0x10, Self.window + 0x10_0000)
    script.read(Self.window, into: 2)
    script.read(Self.window + 0x10_0004, into: 3)
    // Off, and the device keeps what it knows.
    script.writeConfiguration(slot: 1, 4, 0, byteCount: 2)
    script.read(Self.window + 0x10_0004, into: 4)
    script.write(Self.window + 0x10_0004, 1)
    script.writeConfiguration(slot: 1, 4, 2, byteCount: 2)
    script.read(Self.window + 0x10_0004, 2, into: 5)
    script.readConfiguration(slot: 1, 0x10, into: 6)
    #expect(try test.run(script) == .exited(0))
    let none = UInt64(UInt32.max)
    #expect(
      try test.results(7) == [
        none, 0x1122_3344, none, 0xabcd, none, 0xabcd, Self.window + 0x10_0000,
      ])
  }

  @Test("Ports and 64-bit windows have their places", arguments: TestMachine.engines)
  func kinds(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    var script = AccessScript()
    script.writeConfiguration(slot: 1, 0x14, 0xc000)
    script.writeConfiguration(slot: 1, 0x18, Self.window)
    script.writeConfiguration(slot: 1, 0x1c, 0)
    script.append(.read(.port, at: GuestAddress(0xc000), byteCount: 4, into: 0))
    script.writeConfiguration(slot: 1, 4, 1, byteCount: 2)
    script.append(.read(.port, at: GuestAddress(0xc000), byteCount: 4, into: 1))
    script.read(Self.window, into: 2)
    script.writeConfiguration(slot: 1, 4, 2, byteCount: 2)
    script.append(.read(.port, at: GuestAddress(0xc000), byteCount: 4, into: 3))
    script.write(Self.window + 8, 0x1122_3344_5566_7788, 8)
    script.read(Self.window + 12, into: 4)
    // Above 4 GiB, where no access of this guest gets.
    script.writeConfiguration(slot: 1, 0x1c, 0x12)
    script.read(Self.window + 12, into: 5)
    #expect(try test.run(script) == .exited(0))
    let none = UInt64(UInt32.max)
    #expect(try test.results(6) == [none, 0x55, none, none, 0x1122_3344, none])
    #expect(
      test.machine.devices.first?.placements.first { $0.bar == 2 }?.address
        == GuestAddress(0x12_e000_0000))
    #expect(test.machine.space.read(at: GuestAddress(0x12_e000_000c), byteCount: 4) == 0x1122_3344)
  }

  @Test(
    "E16: a window does not cover what is there already, and comes when that has gone",
    arguments: TestMachine.engines)
  func conflicts(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self, PinDevice.self])
    var script = AccessScript()
    // Memory, the interrupt controller, the configuration ports.
    script.place(slot: 1, [0: 0x1000, 1: 0xcf0])
    script.writeConfiguration(slot: 1, 0x10, 0xfec0_0000)
    script.readConfiguration(slot: 1, 0, into: 0)
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 4, 1)
    script.place(slot: 2, [0: Self.window])
    script.write(Self.window + 4, 2)
    script.read(Self.window + 4, into: 1)
    script.writeConfiguration(slot: 1, 0x10, Self.window + 0x1000)
    script.read(Self.window + 4, into: 2)
    script.read(Self.window + 0x1004, into: 3)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(4) == [0x0010_1234, 2, 0, 2])
    func refusals(_ events: [MachineEvent]) -> [UInt64] {
      events.compactMap { event in
        if case .windowRefused(_, _, let address, _) = event { address.rawValue } else { nil }
      }
    }
    // Told on a thread of its own.
    #expect(test.events.wait { refusals($0).count >= 4 })
    #expect(refusals(test.events.value) == [0x1000, 0xcf0, 0xfec0_0000, Self.window])
  }

  @Test("Two devices answer each at its place", arguments: TestMachine.engines)
  func twoDevices(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    try test.attach(PinDevice.self, at: PCIAddress(device: 3))
    try test.attach(VectorDevice.self, at: PCIAddress(device: 3, function: 1))
    try test.attach(PinDevice.self)
    var script = AccessScript()
    for (index, function) in ([0x8000_1800, 0x8000_1900, 0x8000_0800] as [UInt64])
      .enumerated()
    {
      script.append(.write(.port, at: GuestAddress(0xcf8), function, byteCount: 4))
      script.append(.read(.port, at: GuestAddress(0xcfc), byteCount: 4, into: index))
    }
    script.place(slot: 1, [0: Self.window])
    script.place(slot: 3, [0: Self.window + 0x1000])
    script.write(Self.window + 4, 1)
    script.write(Self.window + 0x1004, 2)
    script.read(Self.window + 4, into: 3)
    script.read(Self.window + 0x1004, into: 4)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(5) == [0x0010_1234, 0x0011_1234, 0x0010_1234, 1, 2])
  }

  @Test("A function-level reset takes the windows away", arguments: TestMachine.engines)
  func functionReset(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    let express = try #require(test.machine.devices.first?.profile.capabilities.pciExpress)
    try #require(test.machine.devices.first?.profile.hasFunctionLevelReset == true)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 4, 5)
    script.writeConfiguration(slot: 1, UInt64(express + 8), 0x8000, byteCount: 2)
    script.read(Self.window, into: 0)
    script.readConfiguration(slot: 1, 0x10, into: 1)
    script.readConfiguration(slot: 1, 4, into: 2, byteCount: 2)
    script.place(slot: 1, [0: Self.window])
    script.read(Self.window + 4, into: 3)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(4) == [UInt64(UInt32.max), 0, 0, 0])
  }
}
