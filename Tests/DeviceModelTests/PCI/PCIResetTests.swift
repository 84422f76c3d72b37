import Testing

@testable import DeviceModel
@testable import VFIOUser

private enum BenchRegister: Int, RegisterMap {
  case plain
  var declaration: Register {
    Register("PLAIN", "Plain", at: 0, bytes: 4, .readWrite, reset: 7, "A register.")
  }
}

@Suite("PCI resets and power")
struct PCIResetTests {
  private func bench(keepsState: Bool = false) throws -> PCIBench {
    var hardware = PCIHardware.everything()
    hardware.capabilities[0] = .powerManagement(keepsState: keepsState)
    hardware.bars[0].contents.append(try .registers(BenchRegister.self))
    return try PCIBench(hardware)
  }

  private func dirty(_ bench: PCIBench) throws {
    try bench.store(0, 0, UInt32(99))
    try bench.store(0, 0x1000, UInt32(99))
    try bench.store(0x3c, UInt8(11))
    try bench.setCommand([.busMaster, .memorySpace])
  }

  @Test("E9: a device reset puts back registers, memory, configuration space and the device")
  func deviceReset() throws {
    let bench = try bench()
    try dirty(bench)
    bench.function.reset(.device)
    #expect(try bench.load(0, 0, as: UInt32.self) == 7)
    #expect(try bench.load(0, 0x1000, as: UInt32.self) == 0)
    #expect(try bench.load(0x3c, as: UInt8.self) == 0)
    #expect(try bench.load(4, as: UInt16.self) == 0)
    #expect(!bench.services.dma.isEnabled)
    #expect(bench.device.resets == [.device])
  }

  @Test("E9: a function-level reset goes through a fence and leaves memory and sticky bits alone")
  func functionLevelReset() throws {
    let bench = try bench()
    try dirty(bench)
    try bench.store(0x108, UInt32(0x10))  // AER: uncorrectable error mask
    let express = try #require(bench.capabilities.pciExpress)
    try bench.store(express + 8, UInt16(0x8000))
    #expect(bench.device.quiesced == [.reset(.functionLevel)])
    #expect(bench.device.resets == [.functionLevel])
    #expect(try bench.load(0, 0, as: UInt32.self) == 7)
    #expect(try bench.load(0, 0x1000, as: UInt32.self) == 99)
    #expect(try bench.load(express + 8, as: UInt16.self) == 0x2810, "Initiate FLR reads 0")
    #expect(try bench.load(0x108, as: UInt32.self) == 0x10)
    bench.function.reset(.device)
    #expect(try bench.load(0x108, as: UInt32.self) == 0x0040_0000)
  }

  @Test("E9: a byte write of Device Control resets as well; the neighbour byte does not")
  func functionLevelResetByBytes() throws {
    let bench = try bench()
    let express = try #require(bench.capabilities.pciExpress)
    try bench.store(express + 8, UInt8(0x80))
    #expect(bench.device.resets.isEmpty)
    try bench.store(express + 9, UInt8(0x80))
    #expect(bench.device.resets == [.functionLevel])
  }

  @Test("E9: the write that resets is answered when the fence is through")
  func deferral() throws {
    let bench = try bench()
    try dirty(bench)
    var action: (() -> Void)?
    bench.services.onFence = { action = $1 }
    let deferral = RecordingDeferral()
    let express = try #require(bench.capabilities.pciExpress)
    let region = try #require(bench.function.region(at: 7))
    try region.write(
      at: RegionOffset(UInt64(express + 9)), from: [UInt8(0x80)].rawSpan,
      AccessContext(deferral: deferral, isPosted: false))
    #expect(deferral.reply != nil)
    #expect(deferral.completed.value == 0)
    #expect(bench.device.resets.isEmpty)
    #expect(!bench.services.dma.isEnabled, "no DMA starts while the fence is up")
    action?()
    #expect(deferral.completed.value == 1)
    #expect(bench.device.resets == [.functionLevel])
  }

  @Test("E9: coming back from D3hot resets, unless the function keeps its state")
  func powerStates() throws {
    for keepsState in [false, true] {
      let bench = try bench(keepsState: keepsState)
      try dirty(bench)
      let power = try #require(bench.capabilities.powerManagement) + 4
      try bench.store(power, UInt8(3))
      #expect(try bench.load(power, as: UInt8.self) & 3 == 3)
      #expect(!bench.services.dma.isEnabled, "a function in D3hot masters nothing")
      #expect(bench.device.resets.isEmpty)
      try bench.store(power, UInt8(0))
      #expect(bench.device.resets == (keepsState ? [] : [.powerState]))
      #expect(try bench.load(0, 0, as: UInt32.self) == (keepsState ? 99 : 7))
      #expect(bench.services.dma.isEnabled == keepsState)
    }
  }

  @Test("power states that do not exist are not entered")
  func absentPowerStates() throws {
    let bench = try bench()
    let power = try #require(bench.capabilities.powerManagement) + 4
    for (state, expected): (UInt8, UInt8) in [(1, 0), (2, 0), (3, 3), (2, 3), (0, 0)] {
      try bench.store(power, state)
      #expect(try bench.load(power, as: UInt8.self) & 3 == expected)
    }
  }

  @Test("E9: a reset releases the pin and forgets pending messages")
  func interrupts() throws {
    var made: PCIInterruptLine?
    let bench = try PCIBench(.everything()) { made = $0.interruptLine() }
    let line = try #require(made)
    line.set(true)
    bench.function.reset(.device)
    let event = try bench.assign(.intx, 0..<1)[0]
    #expect(event.count == 0)
    #expect(!line.isAsserted)
    #expect(try bench.load(6, as: UInt16.self) & 8 == 0)
  }

  @Test("E10: interrupts raised while the device is quiet wait, and a reset drops them")
  func quietInterrupts() throws {
    var made: PCIInterruptLine?
    let bench = try PCIBench(.everything()) { made = $0.interruptLine() }
    let line = try #require(made)
    let pin = try bench.assign(.intx, 0..<1)[0]
    _ = bench.function.quiesce(.disconnect, QuiesceCompletion {})
    line.set(true)
    #expect(pin.count == 0)
    bench.function.resume()
    #expect(pin.count == 1)
    line.set(false)

    let message = try bench.assign(.msi, 0..<1)[0]
    let msi = try #require(bench.capabilities.msi)
    try bench.store(msi + 2, UInt16(1))
    try bench.setCommand(.busMaster)
    _ = bench.function.quiesce(.reset(.device), QuiesceCompletion {})
    bench.function.raise(vector: 0)
    #expect(message.count == 0)
    bench.function.reset(.device)
    bench.function.resume()
    try bench.store(msi + 2, UInt16(1))
    try bench.setCommand(.busMaster)
    #expect(message.count == 0)
    bench.function.raise(vector: 0)
    #expect(message.count == 1)
  }

  @Test("E10: scheduled work waits while the device is quiet, and a reset cancels it")
  func scheduledWork() throws {
    let bench = try bench()
    let ran = Counter()
    bench.function.after(.zero) { ran.value += 1 }
    _ = bench.function.quiesce(.stop, QuiesceCompletion {})
    for _ in 0..<3 { try bench.loop.runOnce(timeout: .milliseconds(2)) }
    #expect(ran.value == 0)
    bench.function.resume()
    #expect(ran.value == 1)

    let work = bench.function.after(.zero) { ran.value += 1 }
    bench.function.reset(.device)
    #expect(!work.isWaiting)
    for _ in 0..<3 { try bench.loop.runOnce(timeout: .milliseconds(2)) }
    #expect(ran.value == 1)
  }
}

private final class Counter {
  var value = 0
}

/// Stands for the session: takes a deferred reply and counts its completion.
private final class RecordingDeferral: AccessDeferral {
  final class Box: @unchecked Sendable { var value = 0 }
  let completed = Box()
  var reply: DeferredReply?

  func deferReply(survivesReset: Bool) -> DeferredReply? {
    let reply = DeferredReply { [completed] _ in completed.value += 1 }
    self.reply = reply
    return reply
  }
}
