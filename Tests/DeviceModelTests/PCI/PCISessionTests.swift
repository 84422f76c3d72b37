import Logging
import Testing

@testable import DeviceModel
@testable import VFIOUser

private enum MoverRegister: Int, RegisterMap {
  case start, done, vector

  var declaration: Register {
    switch self {
    case .start:
      Register(
        "START", "Start", at: 0, bytes: 4, .writeOnly, effects: .write,
        "Reads 4 bytes at 0x1000 of guest memory and writes them to 0x1004.")
    case .done: Register("DONE", "Done", at: 4, bytes: 4, .readOnly, "How many moves ended.")
    case .vector:
      Register("VECTOR", "Vector", at: 8, bytes: 4, .writeOnly, effects: .write, "Raises a vector.")
    }
  }
}

/// A device with everything that a session can show: DMA, vectors, mappable memory.
private final class Mover: PCIDevice {
  static let declaration = PCIDeviceDeclaration(name: "mover", summary: "For tests.") { _ in
    PCIHardware(
      identity: PCIIdentity(vendor: 0x1234, device: 0x0002),
      bars: [
        BAR(0, .memory32, byteCount: 4096, [try .registers(MoverRegister.self)]),
        BAR(
          1, .memory32, byteCount: 1 << 16,
          [.sharedMemory("Doorbells", at: 0x1000, byteCount: 0x1000, "Polled by the device.")]),
        BAR(2, .memory32, byteCount: 1 << 16, []),
      ],
      interrupts: PCIInterrupts(
        pin: .a,
        msix: .init(vectorCount: 2048, table: .bar(2, at: 0), pendingBits: .bar(2, at: 0x8000))),
      capabilities: [.powerManagement(), .pciExpress()], configurationSpace: .extended)
  }

  private unowned let function: PCIFunction
  private let registers: RegisterBlock<MoverRegister>

  init(_ function: PCIFunction) throws {
    self.function = function
    registers = try function.registers(MoverRegister.self)
    let doorbells = try function.sharedMemory("Doorbells", in: 1)
    registers.effect = { [unowned self] access throws(Errno) in
      switch MoverRegister(access) {
      case .start: move()
      case .vector:
        // The value all ones asks for the vector that the doorbell names.
        let value =
          access.written == 0xffff_ffff ? UInt64(try doorbells.load32(at: 0)) : access.written
        function.raise(vector: Int(value))
      case .done: break
      }
    }
  }

  func reset(_ kind: ResetKind) {}

  private func move() {
    function.dma.read(at: DMAAddress(0x1000), byteCount: 4) { [weak self] result in
      guard let self, case .success(let bytes) = result else { return }
      function.dma.write(at: DMAAddress(0x1004), bytes: bytes) { [weak self] _ in
        self?.registers[.done] += 1
      }
    }
  }
}

@Suite("A PCI function over a session", .timeLimit(.minutes(10)))
struct PCISessionTests {
  private func serve(_ options: DeviceOptions = DeviceOptions()) throws -> ServedFunction {
    try ServedFunction(options: options) { try PCIFunction(Mover.self, loop: $0) }
  }

  private func enableMSIX(_ served: ServedFunction) throws {
    let space = try served.configuration()
    let report = PCIConfigurationDecoder(
      try space.read(at: RegionOffset(0), byteCount: 256)
    ).decode()
    let msix = try #require(report.sections.first { $0.title == "MSI-X" })
    try space.write(UInt16(0x8000), at: RegionOffset(UInt64(msix.offset + 2)))
    try space.write(UInt16(PCICommand.busMaster.rawValue), at: RegionOffset(4))
  }

  @Test("the client finds nine regions, five interrupt types and the identity")
  func discovery() throws {
    let served = try serve()
    #expect(served.client.deviceInfo.flags.contains([.pci, .reset]))
    #expect(served.client.deviceInfo.regionCount == 9)
    #expect(served.client.deviceInfo.interruptTypeCount == 5)
    let identity: UInt32 = try served.configuration().read(at: RegionOffset(0))
    #expect(identity == 0x0002_1234)
    #expect(try served.client.interruptInfo(index: 2).count == 2048)
    #expect(try served.configuration().byteCount == 4096)
  }

  @Test("E3: a store to a mapped page reaches the device without a message")
  func mappedMemory() throws {
    let served = try serve()
    let bar = try served.client.region(at: 1)
    #expect(
      bar.mappedAreas == [RegionArea(offset: RegionOffset(0x1000), byteCount: 0x1000)])
    let events = try served.client.enableInterrupts(index: 2, count: 8)
    try enableMSIX(served)
    try bar.write(UInt32(5), at: RegionOffset(0x1000))
    try served.client.region(at: 0).write(UInt32.max, at: RegionOffset(8))
    #expect(events[5].wait(timeout: .seconds(60)) == 1)
    // Outside the area it is a message to nothing.
    try bar.write(UInt32(9), at: RegionOffset(0))
    #expect(try bar.read(at: RegionOffset(0), as: UInt32.self) == 0)
  }

  @Test("Q6: each of 2048 vectors reaches its own eventfd")
  func manyVectors() throws {
    let served = try serve()
    // A sample from either end keeps the number of descriptors small.
    let low = try served.client.enableInterrupts(index: 2, start: 0, count: 2)
    let high = try served.client.enableInterrupts(index: 2, start: 2046, count: 2)
    try enableMSIX(served)
    let registers = try served.client.region(at: 0)
    for vector in [0, 1, 2046, 2047] as [UInt32] {
      try registers.write(vector, at: RegionOffset(8))
    }
    for event in low + high { #expect(event.wait(timeout: .seconds(60)) == 1) }
  }

  @Test("E6: masked by SET_IRQS or by the table, a vector is pending until it is unmasked")
  func masking() throws {
    let served = try serve()
    let events = try served.client.enableInterrupts(index: 2, count: 2)
    try enableMSIX(served)
    let registers = try served.client.region(at: 0)
    let table = try served.client.region(at: 2)
    try served.client.maskInterrupts(index: 2, start: 0)
    try table.write(UInt32(1), at: RegionOffset(16 + 12))
    try registers.write(UInt32(0), at: RegionOffset(8))
    try registers.write(UInt32(1), at: RegionOffset(8))
    #expect(try table.read(at: RegionOffset(0x8000), as: UInt64.self) == 0b11)
    #expect(events.map { $0.consume() } == [nil, nil])
    try served.client.unmaskInterrupts(index: 2, start: 0)
    try table.write(UInt32(0), at: RegionOffset(16 + 12))
    for event in events { #expect(event.wait(timeout: .seconds(60)) == 1) }
    #expect(try table.read(at: RegionOffset(0x8000), as: UInt64.self) == 0)
  }

  @Test("E4: DMA by mapping and by message moves the same bytes", arguments: [true, false])
  func dma(isMapped: Bool) throws {
    let served = try serve()
    let memory = try SharedMemory(byteCount: 4096)
    try memory.store32(0xdead_beef, at: 0)
    if isMapped {
      try served.client.mapMemory(memory, at: DMAAddress(0x1000))
    } else {
      try served.client.mapPrivateMemory(memory, at: DMAAddress(0x1000))
    }
    try served.configuration().write(UInt16(4), at: RegionOffset(4))
    let registers = try served.client.region(at: 0)
    try registers.write(UInt32(1), at: RegionOffset(0))
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while try registers.read(at: RegionOffset(4), as: UInt32.self) == 0,
      MonotonicTime.now < deadline
    {}
    #expect(try memory.load32(at: 4) == 0xdead_beef)
  }

  @Test("E9: a function-level reset in the middle of DMA is answered, and nothing comes after it")
  func functionLevelReset() throws {
    let served = try serve()
    let memory = try SharedMemory(byteCount: 4096)
    try served.client.mapPrivateMemory(memory, at: DMAAddress(0x1000))
    let space = try served.configuration()
    let report = PCIConfigurationDecoder(
      try space.read(at: RegionOffset(0), byteCount: 256)
    ).decode()
    let express = try #require(report.sections.first { $0.title == "PCI Express" }).offset
    let registers = try served.client.region(at: 0)
    for round in 1...50 as ClosedRange<UInt32> {
      try space.write(UInt16(4), at: RegionOffset(4))
      try memory.store32(round, at: 0)
      for _ in 0..<4 { try registers.write(UInt32(1), at: RegionOffset(0)) }
      try space.write(UInt16(0xa810), at: RegionOffset(UInt64(express + 8)))
      #expect(try space.read(at: RegionOffset(4), as: UInt16.self) == 0)
      let after = try memory.load32(at: 4)
      #expect(try registers.read(at: RegionOffset(4), as: UInt32.self) == 0)
      #expect(try memory.load32(at: 4) == after)
    }
  }

  @Test("E5: clearing bus master is answered when no DMA is in flight any more")
  func busMasterOff() throws {
    let served = try serve()
    let memory = try SharedMemory(byteCount: 4096)
    try served.client.mapPrivateMemory(memory, at: DMAAddress(0x1000))
    let space = try served.configuration()
    let registers = try served.client.region(at: 0)
    for round in 1...50 as ClosedRange<UInt32> {
      try space.write(UInt16(4), at: RegionOffset(4))
      try memory.store32(round, at: 0)
      for _ in 0..<4 { try registers.write(UInt32(1), at: RegionOffset(0)) }
      try space.write(UInt16(0), at: RegionOffset(4))
      let after = try memory.load32(at: 4)
      _ = try registers.read(at: RegionOffset(4), as: UInt32.self)
      #expect(try memory.load32(at: 4) == after)
    }
  }

  @Test("E9: a device reset from the client resets configuration space")
  func deviceReset() throws {
    let served = try serve()
    let space = try served.configuration()
    try space.write(UInt32.max, at: RegionOffset(0x10))
    try space.write(UInt16(4), at: RegionOffset(4))
    try served.client.reset()
    #expect(try space.read(at: RegionOffset(0x10), as: UInt32.self) == 0)
    #expect(try space.read(at: RegionOffset(4), as: UInt16.self) == 0)
  }
}
