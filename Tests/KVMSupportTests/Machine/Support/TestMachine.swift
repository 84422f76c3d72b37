import DeviceModel
import VFIOUser

@testable import KVMSupport

/// A machine with devices that the test serves, and what it printed and told.
final class TestMachine {
  /// Whatever can run here.
  static let engines: [MachineOptions.Engine] =
    KVM.isAvailable ? [.kvm, .software] : [.software]

  let machine: Machine
  let console = Observed<[UInt8]>([])
  let events = Observed<[MachineEvent]>([])
  private var served: [TestServer] = []

  init(
    _ engine: MachineOptions.Engine, cpuCount: Int = 1,
    _ devices: [any (PCIDevice & SendableMetatype).Type] = []
  ) throws {
    var options = MachineOptions()
    options.engine = engine
    options.cpuCount = cpuCount
    options.memoryByteCount = 16 << 20
    machine = try Machine(
      options, output: { [console] byte in console.update { $0.append(byte) } },
      onEvent: { [events] event in events.update { $0.append(event) } })
    for device in devices { try attach(device) }
  }

  deinit { machine.close() }

  /// Attaches a device, by default at the next free slot.
  @discardableResult
  func attach(
    _ kind: any (PCIDevice & SendableMetatype).Type, at address: PCIAddress? = nil,
    options: ClientOptions? = nil,
    timeout: Duration = .seconds(60)
  ) throws -> (device: AttachedDevice, server: TestServer) {
    let server = try TestServer(kind)
    return (try attach(server, at: address, options: options, timeout: timeout), server)
  }

  /// Attaches what a server serves, which ends with this machine.
  @discardableResult
  func attach(
    _ server: TestServer, at address: PCIAddress? = nil, options: ClientOptions? = nil,
    timeout: Duration = .seconds(60)
  ) throws -> AttachedDevice {
    var options = options ?? Machine.clientOptions
    options.timeout = timeout
    let device = try machine.attach(name: "test", at: address, options: options) {
      () throws(ClientError) in
      try server.open()
    }
    served.append(server)
    return device
  }

  /// Attaches a device whose server can be replaced.
  func attach(
    replaceable kind: ReplaceableServer.Kind, _ policy: ReconnectPolicy,
    timeout: Duration = .seconds(20)
  ) throws -> (device: AttachedDevice, server: ReplaceableServer) {
    let server = try ReplaceableServer(kind)
    var options = Machine.clientOptions
    options.timeout = timeout
    let device = try machine.attach(name: "test", options: options, policy: policy) {
      () throws(ClientError) in
      try server.open()
    }
    return (device, server)
  }

  /// Runs a script for each CPU.
  func run(_ scripts: AccessScript...) throws -> MachineEnding {
    try machine.load(.scripts(scripts))
    return try machine.run()
  }

  /// The first results of a CPU's script.
  func results(_ count: Int, cpu: Int = 0) throws -> [UInt64] {
    try AccessScript.results(count, in: machine.memory, .standard(cpu: cpu))
  }

  /// How often a CPU has taken a vector.
  func interruptCount(_ vector: UInt8, cpu: Int = 0) throws -> UInt32 {
    try AccessScript.interruptCount(
      vector: vector, in: machine.memory, .standard(cpu: cpu))
  }

  /// What was printed.
  var printed: String { String(decoding: console.value, as: UTF8.self) }
}

extension AccessScript {
  /// Writes a register of configuration space.
  mutating func writeConfiguration(
    slot: UInt64, _ offset: UInt64, _ value: UInt64, byteCount: Int = 4
  ) {
    append(.write(.port, at: GuestAddress(0xcf8), Self.select(slot, offset), byteCount: 4))
    append(
      .write(.port, at: GuestAddress(0xcfc + (offset & 3)), value, byteCount: byteCount))
  }

  /// Reads a register of configuration space.
  mutating func readConfiguration(
    slot: UInt64, _ offset: UInt64, into result: Int, byteCount: Int = 4
  ) {
    append(.write(.port, at: GuestAddress(0xcf8), Self.select(slot, offset), byteCount: 4))
    append(
      .read(.port, at: GuestAddress(0xcfc + (offset & 3)), byteCount: byteCount, into: result))
  }

  private static func select(_ slot: UInt64, _ offset: UInt64) -> UInt64 {
    1 << 31 | slot << 11 | offset & 0xfc
  }

  /// Places memory windows and turns them on, with bus mastering.
  mutating func place(slot: UInt64, _ bars: [Int: UInt64]) {
    for (bar, address) in bars.sorted(by: { $0.key < $1.key }) {
      writeConfiguration(slot: slot, 0x10 + UInt64(bar) * 4, address)
    }
    writeConfiguration(slot: slot, 4, 7, byteCount: 2)
  }

  /// Has the guest call the ``CallHandler`` of a port.
  mutating func call(_ port: UInt64) {
    append(.write(.port, at: GuestAddress(port), 1, byteCount: 1))
  }

  mutating func read(_ address: UInt64, _ byteCount: Int = 4, into result: Int) {
    append(.read(at: GuestAddress(address), byteCount: byteCount, into: result))
  }

  mutating func write(_ address: UInt64, _ value: UInt64, _ byteCount: Int = 4) {
    append(.write(at: GuestAddress(address), value, byteCount: byteCount))
  }

  /// Sends an input of the I/O APIC to a CPU, as a level.
  mutating func redirect(line: UInt64, to vector: UInt64, cpu: UInt64 = 0) {
    write(0xfec0_0000, 0x11 + line * 2)
    write(0xfec0_0010, cpu << 24)
    write(0xfec0_0000, 0x10 + line * 2)
    write(0xfec0_0010, vector | 1 << 15)
  }
}
