import Testing
import VFIOUser

@testable import KVMSupport

/// How devices' interrupts reach the guest.
@Suite(.serialized, .timeLimit(.minutes(10))) struct MachineInterruptTests {
  private static let window: UInt64 = 0xe000_0000
  private static let vector: UInt8 = 0x51

  @Test(
    "E6: the pin interrupts until the device lets go, and again when it asserts anew",
    arguments: TestMachine.engines)
  func pin(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    var script = AccessScript([.enableInterrupts])
    script.place(slot: 1, [0: Self.window])
    script.redirect(line: UInt64(Machine.line(slot: 1, pin: 1)), to: UInt64(Self.vector))
    script.append(
      .onInterrupt(
        vector: Self.vector, .write(at: GuestAddress(Self.window + 12), 0, byteCount: 4)))
    for count in 1...3 as ClosedRange<UInt32> {
      script.write(Self.window + 16, 1)
      script.append(.awaitInterrupts(vector: Self.vector, count: count))
    }
    // What came too often would come here.
    script.append(.read(at: GuestAddress(Self.window), byteCount: 4, count: 100))
    #expect(try test.run(script) == .exited(0))
    let count = try test.interruptCount(Self.vector)
    #expect(Self.isExpected(count, 3, engine), "\(count)")
  }

  /// Whether the guest has taken a level as often as a device asserted it: exactly, where the end of an
  /// interrupt is told when the guest ends it.
  private static func isExpected(
    _ count: UInt32, _ assertions: UInt32, _ engine: MachineOptions.Engine
  ) -> Bool {
    guard engine == .kvm, LevelEnds.areEarly else { return count == assertions }
    return (assertions...(assertions * 2)).contains(count)
  }

  @Test(
    "E6: a pin that is still asserted when its interrupt ends interrupts again",
    arguments: TestMachine.engines)
  func resample(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    var script = AccessScript([.enableInterrupts])
    script.place(slot: 1, [0: Self.window])
    script.redirect(line: UInt64(Machine.line(slot: 1, pin: 1)), to: UInt64(Self.vector))
    script.write(Self.window + 16, 1)
    script.append(.awaitInterrupts(vector: Self.vector, count: 3))
    script.write(Self.window + 12, 0)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.interruptCount(Self.vector) >= 3)
  }

  @Test("E6: devices that share an input are both heard", arguments: TestMachine.engines)
  func sharing(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    try test.attach(PinDevice.self, at: PCIAddress(device: 1))
    try test.attach(PinDevice.self, at: PCIAddress(device: 5))
    let line = Machine.line(slot: 1, pin: 1)
    #expect(line == Machine.line(slot: 5, pin: 1))
    var script = AccessScript([.enableInterrupts])
    script.place(slot: 1, [0: Self.window])
    script.place(slot: 5, [0: Self.window + 0x1000])
    script.redirect(line: UInt64(line), to: UInt64(Self.vector))
    script.write(Self.window + 16, 1)
    script.write(Self.window + 0x1010, 1)
    script.append(.awaitInterrupts(vector: Self.vector, count: 1))
    script.write(Self.window + 12, 0)
    // The other one keeps the input up.
    script.append(.awaitInterrupts(vector: Self.vector, count: 8))
    script.write(Self.window + 0x100c, 0)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.interruptCount(Self.vector) >= 8)
  }

  private func enableMSI(
    _ script: inout AccessScript, _ test: TestMachine, vector: UInt64, log2Count: UInt64 = 0,
    cpu: UInt64 = 0
  ) throws {
    let msi = UInt64(
      try #require(test.machine.devices.first?.profile.capabilities.msi))
    script.writeConfiguration(slot: 1, msi + 4, 0xfee0_0000 | cpu << 12)
    script.writeConfiguration(slot: 1, msi + 8, 0)
    script.writeConfiguration(slot: 1, msi + 12, vector, byteCount: 2)
    script.writeConfiguration(slot: 1, msi + 2, 1 | log2Count << 4, byteCount: 2)
  }

  @Test("E6: MSI arrives, one vector or several", arguments: TestMachine.engines)
  func msi(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    var script = AccessScript([.enableInterrupts])
    script.place(slot: 1, [0: Self.window])
    try enableMSI(&script, test, vector: 0x60)
    script.write(Self.window + 8, 0)
    script.append(.awaitInterrupts(vector: 0x60, count: 1))
    // Vector 3 of one that is allowed: shared.
    script.write(Self.window + 8, 3)
    script.append(.awaitInterrupts(vector: 0x60, count: 2))
    try enableMSI(&script, test, vector: 0x70, log2Count: 2)
    for number in 0..<4 as Range<UInt64> {
      script.write(Self.window + 8, number)
      script.append(.awaitInterrupts(vector: UInt8(0x70 + number), count: 1))
    }
    // Another vector while it is on.
    let msi = UInt64(try #require(test.machine.devices.first?.profile.capabilities.msi))
    script.writeConfiguration(slot: 1, msi + 12, 0x80, byteCount: 2)
    script.write(Self.window + 8, 2)
    script.append(.awaitInterrupts(vector: 0x82, count: 1))
    #expect(try test.run(script) == .exited(0))
    #expect(try (0x70...0x73).map { try test.interruptCount($0) } == [1, 1, 1, 1])
    #expect(test.events.value.isEmpty, "\(test.events.value)")
  }

  @Test(
    "E6: with MSI on the pin is silent, and it is back when MSI is off",
    arguments: TestMachine.engines)
  func pinAndMSI(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [PinDevice.self])
    let msi = UInt64(try #require(test.machine.devices.first?.profile.capabilities.msi))
    var script = AccessScript([.enableInterrupts])
    script.place(slot: 1, [0: Self.window])
    script.redirect(line: UInt64(Machine.line(slot: 1, pin: 1)), to: UInt64(Self.vector))
    let release = AccessOperation.write(at: GuestAddress(Self.window + 12), 0, byteCount: 4)
    script.append(.onInterrupt(vector: Self.vector, release))
    try enableMSI(&script, test, vector: 0x60)
    script.write(Self.window + 16, 1)
    script.append(.awaitInterrupts(vector: 0x60, count: 1))
    script.write(Self.window + 12, 0)
    script.writeConfiguration(slot: 1, msi + 2, 0, byteCount: 2)
    script.write(Self.window + 16, 1)
    script.append(.awaitInterrupts(vector: Self.vector, count: 1))
    #expect(try test.run(script) == .exited(0))
    #expect(try test.interruptCount(0x60) == 1)
    let count = try test.interruptCount(Self.vector)
    #expect(Self.isExpected(count, 1, engine), "\(count)")
  }

  // MARK: MSI-X

  private static let table: UInt64 = 0xe010_1000
  private static let pending: UInt64 = 0xe010_2000

  private func prepare(
    _ script: inout AccessScript, _ test: TestMachine
  ) throws -> UInt64 {
    script.place(slot: 1, [0: Self.window, 4: Self.window + 0x10_0000])
    return UInt64(try #require(test.machine.devices.first?.profile.capabilities.msix)) + 2
  }

  private func entry(
    _ script: inout AccessScript, _ index: UInt64, vector: UInt64, cpu: UInt64 = 0,
    isMasked: Bool = false
  ) {
    let entry = Self.table + index * 16
    script.write(entry, 0xfee0_0000 | cpu << 12)
    script.write(entry + 4, 0)
    script.write(entry + 8, vector)
    script.write(entry + 12, isMasked ? 1 : 0)
  }

  @Test("E6: MSI-X vectors arrive, and can be changed", arguments: TestMachine.engines)
  func msix(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [VectorDevice.self])
    var script = AccessScript([.enableInterrupts])
    let control = try prepare(&script, test)
    entry(&script, 0, vector: 0x60)
    entry(&script, 7, vector: 0x67)
    script.writeConfiguration(slot: 1, control, 0x8000, byteCount: 2)
    script.write(Self.window + 8, 0)
    script.append(.awaitInterrupts(vector: 0x60, count: 1))
    script.write(Self.window + 8, 7)
    script.append(.awaitInterrupts(vector: 0x67, count: 1))
    // One that is set up later, and one that moves while it is on.
    entry(&script, 3, vector: 0x63)
    script.write(Self.window + 8, 3)
    script.append(.awaitInterrupts(vector: 0x63, count: 1))
    script.write(Self.table + 3 * 16 + 8, 0x73)
    script.write(Self.window + 8, 3)
    script.append(.awaitInterrupts(vector: 0x73, count: 1))
    script.read(Self.table + 3 * 16 + 8, into: 0)
    script.read(Self.table + 7 * 16, 8, into: 1)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(2) == [0x73, 0xfee0_0000])
    #expect(try test.interruptCount(0x63) == 1)
    #expect(test.events.value.isEmpty, "\(test.events.value)")
  }

  @Test(
    "E6: a masked MSI-X vector is pending, and comes when it is unmasked",
    arguments: TestMachine.engines, [true, false])
  func masks(_ engine: MachineOptions.Engine, _ byFunction: Bool) throws {
    let test = try TestMachine(engine, [VectorDevice.self])
    var script = AccessScript([.enableInterrupts])
    let control = try prepare(&script, test)
    entry(&script, 2, vector: 0x62)
    script.writeConfiguration(slot: 1, control, 0x8000, byteCount: 2)
    script.write(Self.window + 8, 2)
    script.append(.awaitInterrupts(vector: 0x62, count: 1))
    func mask(_ isMasked: Bool) {
      if byFunction {
        script.writeConfiguration(slot: 1, control, isMasked ? 0xc000 : 0x8000, byteCount: 2)
      } else {
        script.write(Self.table + 2 * 16 + 12, isMasked ? 1 : 0)
      }
    }
    mask(true)
    script.read(Self.pending, into: 0)
    script.write(Self.window + 8, 2)
    script.read(Self.pending, into: 1)
    script.read(Self.pending, 8, into: 2)
    script.append(.read(at: GuestAddress(Self.window), byteCount: 4, count: 20))
    mask(false)
    script.append(.awaitInterrupts(vector: 0x62, count: 2))
    script.read(Self.pending, into: 3)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(4) == [0, 4, 4, 0])
    #expect(try test.interruptCount(0x62) == 2)
  }

  @Test("E6: MSI-X that is off delivers nothing", arguments: TestMachine.engines)
  func off(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, [VectorDevice.self])
    var script = AccessScript([.enableInterrupts])
    let control = try prepare(&script, test)
    entry(&script, 0, vector: 0x60)
    entry(&script, 1, vector: 0x61)
    script.write(Self.window + 8, 0)
    script.writeConfiguration(slot: 1, control, 0x8000, byteCount: 2)
    script.writeConfiguration(slot: 1, control, 0, byteCount: 2)
    script.write(Self.window + 8, 0)
    script.writeConfiguration(slot: 1, control, 0x8000, byteCount: 2)
    script.write(Self.window + 8, 1)
    script.append(.awaitInterrupts(vector: 0x61, count: 1))
    #expect(try test.run(script) == .exited(0))
    #expect(try test.interruptCount(0x60) == 0)
  }

  @Test("E6: interrupts go to the CPU that the guest chose", arguments: TestMachine.engines)
  func destinations(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, cpuCount: 2, [VectorDevice.self])
    var first = AccessScript([.enableInterrupts])
    let control = try prepare(&first, test)
    entry(&first, 0, vector: 0x60, cpu: 0)
    entry(&first, 1, vector: 0x61, cpu: 1)
    first.writeConfiguration(slot: 1, control, 0x8000, byteCount: 2)
    // The other CPU says that it takes interrupts.
    first.append(.poll(at: GuestAddress(0x8_0000), byteCount: 4, until: 1))
    first.write(Self.window + 8, 1)
    first.append(.poll(at: GuestAddress(0x8_0004), byteCount: 4, until: 1))
    first.write(Self.window + 8, 0)
    first.append(.awaitInterrupts(vector: 0x60, count: 1))
    var second = AccessScript([.enableInterrupts])
    second.write(0x8_0000, 1)
    second.append(.awaitInterrupts(vector: 0x61, count: 1))
    second.write(0x8_0004, 1)
    #expect(try test.run(first, second) == .exited(0))
    #expect(try test.interruptCount(0x60, cpu: 0) == 1)
    #expect(try test.interruptCount(0x61, cpu: 1) == 1)
    #expect(try test.interruptCount(0x61, cpu: 0) == 0)
  }
}
