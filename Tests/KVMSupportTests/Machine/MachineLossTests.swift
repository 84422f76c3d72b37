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

  @Test(
    "V12: a device that comes back goes on where the guest left it",
    arguments: TestMachine.engines)
  func comesBack(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let server = try TestServer(PinDevice.self)
    let links = Mutex<[DeviceClient]>([])
    let device = try test.machine.attach(name: "test") { options throws(ClientError) in
      let client = try server.connect(options)
      links.withLock { $0.append(client) }
      return client
    }
    let machine = test.machine
    let events = test.events
    try machine.space.place(
      CallHandler {
        // As if the connection had broken.
        links.withLock { $0.last }?.close()
        _ = events.wait { $0.contains(where: Self.isLoss) }
      }, in: .port, at: GuestAddress(0x500), byteCount: 1)
    try machine.space.place(
      // Weak: the machine keeps what is placed in its space.
      CallHandler { [weak machine, weak device] in
        guard let machine, let device else { return }
        do { try machine.reconnect(device) } catch { Issue.record("no reconnection: \(error)") }
      }, in: .port, at: GuestAddress(0x501), byteCount: 1)
    let msi = UInt64(try #require(device.profile.capabilities.msi))
    var script = AccessScript([.enableInterrupts])
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 4, 0x77)
    script.writeConfiguration(slot: 1, msi + 4, 0xfee0_0000)
    script.writeConfiguration(slot: 1, msi + 12, 0x60, byteCount: 2)
    script.writeConfiguration(slot: 1, msi + 2, 1, byteCount: 2)
    script.append(.write(.port, at: GuestAddress(0x500), 1, byteCount: 1))
    script.read(Self.window + 4, into: 0)
    script.append(.write(.port, at: GuestAddress(0x501), 1, byteCount: 1))
    script.read(Self.window + 4, into: 1)
    script.write(Self.window + 8, 0)
    script.append(.awaitInterrupts(vector: 0x60, count: 1))
    script.readConfiguration(slot: 1, 0x10, into: 2)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(3) == [Self.none, 0x77, Self.window])
    #expect(!device.isLost)
  }

  @Test("E16: another device does not come back in the place of the first")
  func impostor() throws {
    let test = try TestMachine(.software)
    let servers = [try TestServer(PinDevice.self), try TestServer(VectorDevice.self)]
    let next = Mutex(0)
    let device = try test.machine.attach(name: "test") { options throws(ClientError) in
      let index = next.withLock { value in
        defer { value += 1 }
        return value
      }
      return try servers[min(index, 1)].connect(options)
    }
    servers[0].die()
    #expect(test.events.wait { $0.contains(where: Self.isLoss) })
    let error = #expect(throws: MachineError.self) { try test.machine.reconnect(device) }
    #expect(error?.code == .badDevice)
    #expect(device.isLost)
  }
}
