import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

private typealias Offset = SerialBench.Offset

@Suite("16550A")
struct UART16550Tests {
  private let bench: SerialBench

  init() throws { bench = try SerialBench() }

  // MARK: - Interrupts

  @Test("Q5: THR empty interrupts once, until it is identified or a character is written")
  func transmitterInterrupt() throws {
    try bench.write(Offset.interruptEnable, 0x02)
    #expect(bench.isInterrupting)
    #expect(try bench.read(Offset.identification) == 0x02)
    #expect(!bench.isInterrupting)
    #expect(try bench.read(Offset.identification) == 0x01)
    try bench.write("a")
    #expect(bench.isInterrupting, "the character has gone")
    #expect(try bench.read(Offset.identification) == 0x02)
    // Enabling it anew reports the empty transmitter again; writing the same value does not.
    try bench.write(Offset.interruptEnable, 0x02)
    #expect(!bench.isInterrupting)
    try bench.write(Offset.interruptEnable, 0x00)
    try bench.write(Offset.interruptEnable, 0x02)
    #expect(bench.isInterrupting)
  }

  @Test(
    "Q5: received data interrupts from the trigger level on",
    arguments: [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] as [(UInt8, Int)])
  func triggerLevels(control: UInt8, level: Int) throws {
    try bench.write(Offset.fifoControl, control)
    try bench.write(Offset.interruptEnable, 0x01)
    for number in 1...level {
      #expect(!bench.isInterrupting)
      bench.backend.send([UInt8(number)])
    }
    #expect(bench.isInterrupting)
    #expect(try bench.read(Offset.identification) == 0xc4)
    #expect(try bench.read(Offset.data) == 1)
    #expect(!bench.isInterrupting, "below the level again")
  }

  @Test("Q5: characters below the trigger level interrupt after a time-out")
  func timeout() throws {
    try bench.write(Offset.fifoControl, 0xc1)
    try bench.write(Offset.interruptEnable, 0x01)
    bench.backend.send("ab")
    #expect(!bench.isInterrupting)
    try bench.wait { bench.isInterrupting }
    #expect(try bench.read(Offset.identification) == 0xcc)
    #expect(try bench.read(Offset.identification) == 0xcc, "identifying does not clear it")
    #expect(try bench.read(Offset.data) == UInt8(ascii: "a"))
    #expect(!bench.isInterrupting)
    try bench.wait { bench.isInterrupting }
    #expect(try bench.read(Offset.data) == UInt8(ascii: "b"))
    try bench.run(for: .milliseconds(3))
    #expect(!bench.isInterrupting)
  }

  // MARK: - FIFOs

  @Test("Q5: input waits at the host while the FIFO is full")
  func flowControl() throws {
    try bench.write(Offset.fifoControl, 0x01)
    bench.backend.send(Array(0..<100))
    #expect(bench.backend.pendingByteCount == 84)
    var received: [UInt8] = []
    while try bench.read(Offset.lineStatus) & 1 != 0 { received.append(try bench.read(0)) }
    #expect(received == Array(0..<100))
  }

  @Test("Q5: without FIFOs one character waits")
  func withoutFIFO() throws {
    bench.backend.send("ab")
    #expect(bench.backend.pendingByteCount == 1)
    #expect(try bench.read(Offset.data) == UInt8(ascii: "a"))
    #expect(try bench.read(Offset.data) == UInt8(ascii: "b"))
  }

  @Test("Q5: clearing the receiver FIFO forgets its characters, and enabling FIFOs does")
  func clearReceiver() throws {
    bench.backend.send("x")
    try bench.write(Offset.fifoControl, 0x01)
    #expect(try bench.read(Offset.lineStatus) == 0x60)
    bench.backend.send("abc")
    try bench.write(Offset.fifoControl, 0x03)
    #expect(try bench.read(Offset.lineStatus) == 0x60)
    #expect(try bench.read(Offset.identification) == 0xc1)
    try bench.write(Offset.fifoControl, 0x00)
    #expect(try bench.read(Offset.identification) == 0x01)
  }

  @Test("Q5: FCR bits do nothing without the enable bit")
  func fifoControlNeedsEnable() throws {
    bench.backend.send("x")
    try bench.write(Offset.fifoControl, 0xc6)
    #expect(try bench.read(Offset.lineStatus) == 0x61)
  }

  @Test("Q5: a break is a zero character with BI, reported while it is the oldest")
  func breaks() throws {
    try bench.write(Offset.fifoControl, 0x01)
    bench.backend.send("a")
    bench.uart.receiveBreak()
    #expect(try bench.read(Offset.lineStatus) == 0xe1, "an error deeper in the FIFO")
    #expect(try bench.read(Offset.data) == UInt8(ascii: "a"))
    #expect(try bench.read(Offset.lineStatus) == 0xf1)
    #expect(try bench.read(Offset.lineStatus) == 0x61)
    #expect(try bench.read(Offset.data) == 0)
  }

  // MARK: - Loopback and modem lines

  @Test("Q5: in loopback outputs are inputs and characters come back")
  func loopback() throws {
    try bench.write(Offset.modemControl, 0x1a)
    #expect(try bench.read(Offset.modemStatus) & 0xf0 == 0x90)
    try bench.write(Offset.modemControl, 0x15)
    #expect(try bench.read(Offset.modemStatus) & 0xf0 == 0x60)
    try bench.write("z")
    #expect(bench.backend.written.isEmpty)
    #expect(try bench.read(Offset.lineStatus) == 0x61)
    #expect(try bench.read(Offset.data) == UInt8(ascii: "z"))
    bench.backend.send("host")
    #expect(bench.backend.pendingByteCount == 4, "the host is cut off")
    try bench.write(Offset.modemControl, 0x00)
    #expect(bench.backend.pendingByteCount == 3)
  }

  @Test("Q5: overrun in loopback is reported and keeps the older characters")
  func overrun() throws {
    try bench.write(Offset.fifoControl, 0x01)
    try bench.write(Offset.modemControl, 0x10)
    try bench.write(Offset.interruptEnable, 0x04)
    for number in 0..<17 { try bench.write(Offset.data, UInt8(number)) }
    #expect(bench.isInterrupting)
    #expect(try bench.read(Offset.lineStatus) == 0x63)
    #expect(!bench.isInterrupting)
    #expect(try bench.read(Offset.lineStatus) == 0x61)
    #expect(try (0..<16).map { _ in try bench.read(0) } == Array(0..<16))
  }

  @Test("Q5: the trailing edge of RI is noticed, the leading one is not")
  func ringIndicator() throws {
    try bench.write(Offset.modemControl, 0x10)
    _ = try bench.read(Offset.modemStatus)
    try bench.write(Offset.modemControl, 0x14)
    #expect(try bench.read(Offset.modemStatus) == 0x40)
    try bench.write(Offset.modemControl, 0x10)
    #expect(try bench.read(Offset.modemStatus) == 0x04)
  }

  @Test("Q5: modem lines show whether somebody is at the other end")
  func modemLines() throws {
    bench.backend.setConnected(false)
    #expect(try bench.read(Offset.modemStatus) == 0x0b)
    #expect(try bench.read(Offset.modemStatus) == 0x00)
    bench.backend.setConnected(true)
    #expect(try bench.read(Offset.modemStatus) == 0xbb)
  }

  // MARK: - Registers

  @Test("E1: read-only registers ignore writes, and reserved bits read 0")
  func registers() throws {
    try bench.write(Offset.lineStatus, 0xff)
    try bench.write(Offset.modemStatus, 0xff)
    #expect(try bench.read(Offset.lineStatus) == 0x60)
    #expect(try bench.read(Offset.modemStatus) == 0xb0)
    try bench.write(Offset.interruptEnable, 0xff)
    try bench.write(Offset.modemControl, 0xff)
    try bench.write(Offset.scratch, 0xa5)
    #expect(try bench.read(Offset.interruptEnable) == 0x0f)
    #expect(try bench.read(Offset.modemControl) == 0x1f)
    #expect(try bench.read(Offset.scratch) == 0xa5)
  }

  @Test("Q8: the manual describes every register, and the device can be declared")
  func declaration() throws {
    let declaration = SerialDevice.declaration
    let knobs = try KnobValues(device: declaration.name, declaring: declaration.knobs)
    let hardware = try declaration.hardware(knobs)
    #expect(hardware.identity.vendor == 0x1b36)
    #expect(hardware.identity.device == 0x0002)
    #expect(hardware.identity.classCode.rawValue == 0x070002)
    #expect(hardware.bar(0)?.kind == .io)
    #expect(hardware.bar(0)?.byteCount == 8)
    #expect(UART16550Register.declarations.count == 12)
  }
}
