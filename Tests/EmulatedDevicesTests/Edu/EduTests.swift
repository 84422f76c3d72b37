import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("edu")
struct EduTests {
  @Test("E1: configuration space reads as the original's")
  func configurationSpace() throws {
    let bench = try EduBench()
    var bytes: [UInt8] = []
    for offset in 0..<80 { bytes.append(try bench.load(UInt64(offset), as: UInt8.self, region: 7)) }
    #expect(
      bytes == [
        0x34, 0x12, 0xe8, 0x11, 0x00, 0x00, 0x10, 0x00, 0x10, 0x00, 0xff, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf4,
        0x1a, 0x00, 0x11, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x01, 0x00, 0x00, 0x05, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00,
      ])
    try bench.store(0x10, UInt32.max, region: 7)
    #expect(try bench.load(0x10, as: UInt32.self, region: 7) == 0xfff0_0000)
  }

  @Test("E1: it identifies itself and inverts what is written to the liveness register")
  func identity() throws {
    let bench = try EduBench()
    #expect(try bench.load(0, as: UInt32.self) == 0x0100_00ed)
    try bench.store(4, UInt32(0x1234_5678))
    #expect(try bench.load(4, as: UInt32.self) == ~0x1234_5678)
    try bench.store(0, UInt32(5))
    #expect(try bench.load(0, as: UInt32.self) == 0x0100_00ed)
  }

  @Test("E1: accesses have the widths and alignments that the original takes")
  func widths() throws {
    let bench = try EduBench()
    #expect(try bench.load(0, as: UInt8.self) == 0)
    #expect(try bench.load(0, as: UInt16.self) == 0)
    #expect(try bench.load(2, as: UInt32.self) == 0)
    #expect(try bench.load(0, as: UInt64.self) == .max, "8 bytes only from 0x80 on")
    #expect(try bench.load(0x0c, as: UInt32.self) == .max, "no register")
    #expect(try bench.load(0x60, as: UInt32.self) == .max, "write-only")
    #expect(
      try bench.load(0x40000, as: UInt32.self) == .max, "the buffer is the DMA engine's alone")
    #expect(try bench.load(0xffffc, as: UInt32.self) == .max)
    try bench.store(4, UInt64(1))
    try bench.store(4, UInt8(1))
    #expect(try bench.load(4, as: UInt32.self) == 0)
    try bench.store(0x80, UInt64(0x1_2345_6789))
    #expect(try bench.load(0x80, as: UInt32.self) == 0x2345_6789)
    #expect(try bench.load(0x84, as: UInt32.self) == .max)
    try bench.store(0x80, UInt32(7))
    #expect(try bench.load(0x80, as: UInt64.self) == 7, "a 4-byte write replaces all of it")
  }

  @Test(
    "E1: factorials are computed while the status says so",
    arguments: [
      (0, 1), (1, 1), (5, 120), (12, 479_001_600), (13, 1_932_053_504), (33, 2_147_483_648),
      (34, 0), (UInt32.max, 0),
    ] as [(UInt32, UInt32)])
  func factorial(number: UInt32, expected: UInt32) throws {
    let bench = try EduBench()
    try bench.store(8, number)
    #expect(try bench.load(0x20, as: UInt32.self) == 1)
    try bench.store(8, UInt32(3))
    try bench.wait { try bench.load(0x20, as: UInt32.self) == 0 }
    #expect(try bench.load(8, as: UInt32.self) == expected)
    #expect(bench.pin.count == 0)
  }

  @Test("E6: the end of a factorial interrupts when asked to")
  func factorialInterrupt() throws {
    let bench = try EduBench()
    try bench.store(0x20, UInt32.max)
    #expect(try bench.load(0x20, as: UInt32.self) == 0x80)
    try bench.store(8, UInt32(4))
    try bench.wait { bench.pin.count == 1 }
    #expect(try bench.load(0x24, as: UInt32.self) == 1)
    #expect(try bench.load(8, as: UInt32.self) == 24)
  }

  @Test("E6: the interrupt is asserted until every cause is acknowledged")
  func interrupt() throws {
    let bench = try EduBench()
    try bench.store(0x60, UInt32(0b11))
    #expect(bench.pin.count == 1)
    #expect(try bench.load(0x24, as: UInt32.self) == 0b11)
    try bench.store(0x64, UInt32(0b01))
    #expect(try bench.load(6, as: UInt16.self, region: 7) & 8 == 8)
    try bench.store(0x64, UInt32(0b10))
    #expect(try bench.load(6, as: UInt16.self, region: 7) & 8 == 0)
    #expect(try bench.load(0x24, as: UInt32.self) == 0)
  }

  @Test("E6: with MSI in use every raise sends a message")
  func messages() throws {
    let bench = try EduBench()
    try bench.store(0x42, UInt16(1), region: 7)
    try bench.setCommand(.busMaster)
    try bench.store(0x60, UInt32(1))
    try bench.store(0x60, UInt32(2))
    #expect(bench.message.count == 2)
    #expect(bench.pin.count == 0)
  }

  @Test("E4: DMA moves bytes both ways and interrupts when asked to")
  func dma() throws {
    let bench = try EduBench()
    try bench.setCommand(.busMaster)
    let data = (0..<100).map { UInt8($0) }
    try bench.memory.write(at: 0, from: data.rawSpan)
    let guest = EduBench.guestMemory
    try bench.transfer(source: guest, destination: 0x40010, byteCount: 100, command: 1)
    #expect(bench.pin.count == 0)
    try bench.transfer(source: 0x40010, destination: guest + 0x1000, byteCount: 100, command: 7)
    #expect(bench.pin.count == 1)
    #expect(try bench.load(0x24, as: UInt32.self) == 0x100)
    #expect(try (0..<100).map { try bench.guestByte(0x1000 + $0) } == data)
    #expect(try bench.guestByte(0x1000 + 100) == 0)
  }

  @Test("E4: the DMA registers are fixed while a transfer runs")
  func dmaRegistersWhileRunning() throws {
    let bench = try EduBench()
    try bench.setCommand(.busMaster)
    try bench.store(0x90, UInt64(0))
    try bench.store(0x80, UInt64(0x40000))
    try bench.store(0x98, UInt64(2))
    #expect(try bench.load(0x98, as: UInt64.self) == 0, "a command without Run is ignored")
    try bench.store(0x98, UInt64(3))
    try bench.store(0x80, UInt64(1))
    try bench.store(0x98, UInt64(5))
    #expect(try bench.load(0x80, as: UInt64.self) == 0x40000)
    #expect(try bench.load(0x98, as: UInt64.self) == 3)
    try bench.wait { try bench.load(0x98, as: UInt64.self) == 2 }
  }

  @Test(
    "E17: DMA outside the buffer or with overflowing numbers moves nothing",
    arguments: [
      (0x3ffff, 1), (0x40000, 4097), (0x40fff, 2), (0x40000, UInt64.max), (UInt64.max, 2), (0, 0),
    ] as [(UInt64, UInt64)])
  func dmaOutsideBuffer(start: UInt64, byteCount: UInt64) throws {
    let bench = try EduBench()
    try bench.setCommand(.busMaster)
    try bench.transfer(
      source: EduBench.guestMemory, destination: start, byteCount: byteCount, command: 5)
    try bench.transfer(
      source: start, destination: EduBench.guestMemory, byteCount: byteCount, command: 7)
    #expect(try bench.load(0x24, as: UInt32.self) == 0x100, "it ends all the same")
  }

  @Test("E4: addresses are cut to the mask of the device")
  func dmaMask() throws {
    let bench = try EduBench()
    try bench.setCommand(.busMaster)
    try bench.memory.write(at: 0, from: [UInt8(42)].rawSpan)
    let high = EduBench.guestMemory | 1 << 28 | 1 << 40
    try bench.transfer(source: high, destination: 0x40000, byteCount: 1, command: 1)
    try bench.transfer(source: 0x40000, destination: high + 1, byteCount: 1, command: 3)
    #expect(try bench.guestByte(1) == 42)

    let wide = try EduBench("dma-mask=0xffffffffffff")
    try wide.setCommand(.busMaster)
    try wide.memory.write(at: 0, from: [UInt8(42)].rawSpan)
    try wide.transfer(source: high, destination: 0x40000, byteCount: 1, command: 1)
    try wide.transfer(
      source: 0x40000, destination: EduBench.guestMemory + 1, byteCount: 1, command: 3)
    #expect(try wide.guestByte(1) == 0, "with a wider mask nothing is at that address")
  }

  @Test("E5: without bus mastering nothing is moved")
  func busMaster() throws {
    let bench = try EduBench()
    try bench.memory.write(at: 0, from: [UInt8(42)].rawSpan)
    try bench.transfer(
      source: EduBench.guestMemory, destination: 0x40000, byteCount: 1, command: 1)
    try bench.setCommand(.busMaster)
    try bench.transfer(
      source: 0x40000, destination: EduBench.guestMemory + 1, byteCount: 1, command: 3)
    #expect(try bench.guestByte(1) == 0)
  }

  @Test("E9: a reset ends a factorial and a transfer in progress")
  func reset() throws {
    let bench = try EduBench()
    try bench.setCommand(.busMaster)
    try bench.store(0x20, UInt32(0x80))
    try bench.store(8, UInt32(5))
    try bench.store(0x80, EduBench.guestMemory)
    try bench.store(0x88, UInt64(0x40000))
    try bench.store(0x90, UInt64(16))
    try bench.store(0x98, UInt64(5))
    try bench.store(0x60, UInt32(2))
    #expect(bench.pin.count == 1)
    bench.function.reset(.device)
    for _ in 0..<5 { try bench.loop.runOnce(timeout: .milliseconds(1)) }
    for (offset, value) in [(4, 0), (8, 0), (0x20, 0), (0x24, 0), (0x98, 0)] as [(UInt64, UInt32)] {
      #expect(try bench.load(offset, as: UInt32.self) == value)
    }
    #expect(bench.pin.count == 0)
    #expect(try bench.load(6, as: UInt16.self, region: 7) & 8 == 0)
  }

  @Test("Q7: knobs that are not declared are refused")
  func knobs() throws {
    #expect(throws: KnobError.self) { try EduBench("colour=blue") }
    #expect(throws: KnobError.self) { try EduBench("factorial-microseconds=-1") }
  }
}
