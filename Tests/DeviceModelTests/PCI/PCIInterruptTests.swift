import Testing

@testable import DeviceModel
@testable import VFIOUser

@Suite("PCI interrupts")
struct PCIInterruptTests {
  @Test("E6: the pin follows the line, and the status bit tells its level")
  func pin() throws {
    var made: PCIInterruptLine?
    let bench = try PCIBench(.everything()) { made = $0.interruptLine() }
    let line = try #require(made)
    let event = try bench.assign(.intx, 0..<1)[0]
    #expect(try bench.load(6, as: UInt16.self) & 8 == 0)
    line.set(true)
    #expect(event.count == 1)
    #expect(try bench.load(6, as: UInt16.self) & 8 == 8)
    line.set(true)
    #expect(event.count == 0, "a line that is high already is no news")
    line.set(false)
    #expect(try bench.load(6, as: UInt16.self) & 8 == 0)
  }

  @Test("E6: an asserted line fires again at each unmask until it is released")
  func resample() throws {
    var made: PCIInterruptLine?
    let bench = try PCIBench(.everything()) { made = $0.interruptLine() }
    let line = try #require(made)
    let event = try bench.assign(.intx, 0..<1)[0]
    line.set(true)
    #expect(event.count == 1)
    try bench.apply(.unmask, .intx)
    #expect(event.count == 1)
    line.set(false)
    try bench.apply(.unmask, .intx)
    #expect(event.count == 0)
    line.set(true)
    #expect(event.count == 1)
  }

  @Test("E6: the interrupt disable bit silences the pin but not the status bit")
  func pinDisabled() throws {
    var made: PCIInterruptLine?
    let bench = try PCIBench(.everything()) { made = $0.interruptLine() }
    let line = try #require(made)
    let event = try bench.assign(.intx, 0..<1)[0]
    try bench.setCommand(.interruptDisable)
    line.set(true)
    #expect(event.count == 0)
    #expect(try bench.load(6, as: UInt16.self) & 8 == 8)
    try bench.setCommand([])
    #expect(event.count == 1)
  }

  @Test("E6: lines that share the pin keep it asserted until the last is released")
  func sharedPin() throws {
    var lines: [PCIInterruptLine] = []
    let bench = try PCIBench(.everything()) { function in
      lines = [function.interruptLine(), function.interruptLine()]
    }
    let event = try bench.assign(.intx, 0..<1)[0]
    lines[0].set(true)
    lines[1].set(true)
    lines[0].set(false)
    #expect(event.count == 1)
    try bench.apply(.unmask, .intx)
    #expect(event.count == 1)
    lines[1].set(false)
    #expect(try bench.load(6, as: UInt16.self) & 8 == 0)
  }

  @Test("E6: a core's line without a bus drives the pin")
  func coreLine() throws {
    let line = InterruptLine()
    let bench = try PCIBench(.everything()) { $0.connect(line) }
    let event = try bench.assign(.intx, 0..<1)[0]
    line.set(true)
    #expect(event.count == 1)
  }

  // MARK: - MSI

  private func enableMSI(_ bench: PCIBench, vectorsLog2: UInt16 = 2) throws -> Int {
    let msi = try #require(bench.capabilities.msi)
    try bench.store(msi + 2, UInt16(1 | vectorsLog2 << 4))
    try bench.setCommand(.busMaster)
    return msi
  }

  @Test("E6: with MSI in use a rise of the line sends its message and the pin rests")
  func lineAsMessage() throws {
    var made: PCIInterruptLine?
    let bench = try PCIBench(.everything()) { made = $0.interruptLine(vector: 1) }
    let line = try #require(made)
    let pin = try bench.assign(.intx, 0..<1)[0]
    let events = try bench.assign(.msi, 0..<4)
    _ = try enableMSI(bench)
    line.set(true)
    #expect(events.map(\.count) == [0, 1, 0, 0])
    line.raise()
    #expect(events[1].count == 1)
    line.set(false)
    line.set(true)
    #expect(events[1].count == 1)
    #expect(pin.count == 0)
  }

  @Test("E6: an asserted line is not lost when the driver turns messages on")
  func lineBecomesMessage() throws {
    var made: PCIInterruptLine?
    let bench = try PCIBench(.everything()) { made = $0.interruptLine() }
    try #require(made).set(true)
    let event = try bench.assign(.msi, 0..<1)[0]
    _ = try enableMSI(bench)
    #expect(event.count == 1)
  }

  @Test("E6: a driver that allows fewer MSI vectors gets them shared")
  func fewerVectors() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msi, 0..<4)
    _ = try enableMSI(bench, vectorsLog2: 1)
    for vector in 0..<4 { bench.function.raise(vector: vector) }
    #expect(events.map(\.count) == [2, 2, 0, 0])
  }

  @Test("E6: a masked MSI vector is pending, and delivered when it is unmasked")
  func msiMask() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msi, 0..<4)
    let msi = try enableMSI(bench)
    try bench.store(msi + 0x10, UInt32(0b0100))
    bench.function.raise(vector: 2)
    bench.function.raise(vector: 2)
    #expect(events[2].count == 0)
    #expect(try bench.load(msi + 0x14, as: UInt32.self) == 0b0100)
    try bench.store(msi + 0x10, UInt32(0))
    #expect(events[2].count == 1)
    #expect(try bench.load(msi + 0x14, as: UInt32.self) == 0)
  }

  @Test("E6: without bus mastering messages wait")
  func busMaster() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msi, 0..<4)
    _ = try enableMSI(bench)
    try bench.setCommand([])
    #expect(bench.device.quiesced == [.busMasterDisabled])
    #expect(!bench.services.dma.isEnabled)
    bench.function.raise(vector: 0)
    #expect(events[0].count == 0)
    try bench.setCommand(.busMaster)
    #expect(bench.services.dma.isEnabled)
    #expect(events[0].count == 1)
  }

  @Test("E6: with no kind of message in use a message is lost")
  func disabled() throws {
    let bench = try PCIBench(.everything())
    let msi = try bench.assign(.msi, 0..<4)
    let msix = try bench.assign(.msix, 0..<4)
    try bench.setCommand(.busMaster)
    bench.function.raise(vector: 0)
    _ = try enableMSI(bench)
    #expect(msi[0].count == 0 && msix[0].count == 0)
  }

  // MARK: - MSI-X

  private func enableMSIX(_ bench: PCIBench, masked: Bool = false) throws {
    let msix = try #require(bench.capabilities.msix)
    try bench.store(msix + 2, UInt16(masked ? 0xc000 : 0x8000))
    try bench.setCommand(.busMaster)
  }

  @Test("E6: a client that keeps the table to itself gets its interrupts")
  func tableKeptByClient() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msix, 0..<4)
    try enableMSIX(bench)
    #expect(try bench.load(3, 12, as: UInt32.self) == 1, "entries read as masked all the same")
    bench.function.raise(vector: 3)
    #expect(events.map(\.count) == [0, 0, 0, 1])
  }

  @Test("E6: a client that keeps the table masks by SET_IRQS")
  func clientMask() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msix, 0..<4)
    try enableMSIX(bench)
    try bench.apply(.mask, .msix, 1)
    bench.function.raise(vector: 1)
    #expect(events[1].count == 0)
    #expect(try bench.load(3, 0x8000, as: UInt64.self) == 0b10, "pending bit array")
    try bench.apply(.unmask, .msix, 1)
    #expect(events[1].count == 1)
  }

  @Test("E6: an entry that the client has written gates its vector, and no other")
  func tableWritten() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msix, 0..<4)
    try enableMSIX(bench)
    // The address alone: the mask bit of the entry counts from here on, and it is set.
    try bench.store(3, 16, UInt32(0xfee0_0000))
    bench.function.raise(vector: 1)
    bench.function.raise(vector: 2)
    #expect(events.map(\.count) == [0, 0, 1, 0])
    #expect(try bench.load(3, 0x8000, as: UInt8.self) == 0b10)
    try bench.store(3, 28, UInt32(0))
    #expect(events[1].count == 1)
    #expect(try bench.load(3, 0x8000, as: UInt8.self) == 0)
    try bench.store(3, 28, UInt32(1))
    bench.function.raise(vector: 1)
    #expect(events[1].count == 0)
  }

  @Test("E6: a reset forgets that the table was written")
  func tableAfterReset() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msix, 0..<4)
    try enableMSIX(bench)
    try bench.store(3, 0, UInt32(0x1000))
    bench.function.raise(vector: 0)
    bench.function.reset(.device)
    try enableMSIX(bench)
    #expect(events[0].count == 0, "what was pending is gone")
    bench.function.raise(vector: 0)
    #expect(events[0].count == 1)
    #expect(try bench.load(3, 0, as: UInt32.self) == 0)
  }

  @Test("E6: the function mask holds back every vector, disabling drops them")
  func functionMask() throws {
    let bench = try PCIBench(.everything())
    let events = try bench.assign(.msix, 0..<4)
    try enableMSIX(bench, masked: true)
    for vector in 0..<4 { bench.function.raise(vector: vector) }
    #expect(try bench.load(3, 0x8000, as: UInt8.self) == 0b1111)
    #expect(events.map(\.count) == [0, 0, 0, 0])
    try enableMSIX(bench)
    #expect(events.map(\.count) == [1, 1, 1, 1])
    try enableMSIX(bench, masked: true)
    bench.function.raise(vector: 0)
    let msix = try #require(bench.capabilities.msix)
    try bench.store(msix + 2, UInt16(0))
    try enableMSIX(bench)
    #expect(events[0].count == 0)
  }

  @Test("E6: reserved bits of the table and the whole pending array are read-only")
  func tableMasks() throws {
    let bench = try PCIBench(.everything())
    try bench.write(3, at: 0, [UInt8](repeating: 0xff, count: 16))
    #expect(
      try bench.read(3, at: 0, byteCount: 16)
        == [0xfc] + [UInt8](repeating: 0xff, count: 11) + [1, 0, 0, 0])
    try bench.store(3, 0x8000, UInt64.max)
    #expect(try bench.load(3, 0x8000, as: UInt64.self) == 0)
  }

  @Test("Q6: 2048 vectors are delivered, each to its own eventfd")
  func manyVectors() throws {
    let bench = try PCIBench(.everything(msixVectors: 2048))
    let event = try bench.assign(.msix, 2047..<2048)[0]
    let msix = try #require(bench.capabilities.msix)
    #expect(try bench.load(msix + 2, as: UInt16.self) == 0x07ff)
    try enableMSIX(bench)
    for vector in 0..<2048 { bench.function.raise(vector: vector) }
    #expect(event.count == 1)
    let pending = try bench.read(3, at: 0x8000, byteCount: 256)
    #expect(pending == [UInt8](repeating: 0xff, count: 255) + [0x7f])
    bench.function.raise(vector: 2048)
    bench.function.raise(vector: -1)
  }
}
