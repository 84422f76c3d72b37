import Synchronization
import Testing
import VFIOUser

@testable import KVMSupport

/// What becomes of a guest whose devices die.
@Suite(.serialized, .timeLimit(.minutes(10))) struct MachineLossTests {
  private static let window: UInt64 = 0xe000_0000
  private static let none = UInt64(UInt32.max)

  private static func isLoss(_ event: MachineEvent) -> Bool {
    if case .deviceLost = event { true } else { false }
  }

  @Test(
    "V12: a device whose server dies reads as all ones, the machine hears of it once, and the guest goes on",
    arguments: TestMachine.engines)
  func death(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    let (device, server) = try test.attach(PinDevice.self)
    try test.machine.space.place(
      CallHandler { server.die() }, in: .port, at: GuestAddress(0x500), byteCount: 1)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.place(slot: 2, [0: Self.window + 0x1000])
    script.write(Self.window + 4, 1)
    script.write(Self.window + 0x1004, 2)
    script.append(.write(.port, at: GuestAddress(0x500), 1, byteCount: 1))
    for index in 0..<3 { script.read(Self.window + 0x1004, into: index) }
    script.write(Self.window + 0x1004, 3)
    script.readConfiguration(slot: 2, 0, into: 3)
    script.readConfiguration(slot: 2, 0x10, into: 4)
    script.writeConfiguration(slot: 2, 4, 0, byteCount: 2)
    // The other one is as it was.
    script.read(Self.window + 4, into: 5)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(6) == [Self.none, Self.none, Self.none, Self.none, Self.none, 1])
    #expect(test.events.wait { $0.contains(where: Self.isLoss) })
    #expect(device.isLost)
    #expect(test.events.value.count(where: Self.isLoss) == 1, "\(test.events.value)")
    if case .deviceLost(let address, _, _)? = test.events.value.first(where: Self.isLoss) {
      #expect(address == PCIAddress(device: 2))
    }
  }

  @Test(
    "V12: a death is noticed while no CPU asks the device", arguments: TestMachine.engines)
  func noticed(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (device, server) = try test.attach(PinDevice.self)
    server.die()
    #expect(test.events.wait { $0.contains(where: Self.isLoss) })
    #expect(device.isLost)
  }

  @Test(
    "E16: a server that does not answer stalls the guest once, and not for each access",
    arguments: TestMachine.engines)
  func stall(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (device, _) = try test.attach(SilentDevice.self, timeout: .seconds(3))
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.read(Self.window, into: 0)
    script.append(.read(at: GuestAddress(Self.window), byteCount: 4, into: 1, count: 100))
    script.readConfiguration(slot: 1, 0, into: 101)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(102).allSatisfy { $0 == Self.none })
    #expect(test.events.wait { $0.contains(where: Self.isLoss) })
    #expect(device.isLost)
  }
}
