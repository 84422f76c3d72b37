import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

private typealias Offset = SerialBench.Offset

/// The same tests for each bus that the core stands behind.
@Suite("16550A behind each bus")
struct SerialCoreTests {
  @Test("E7, Q2, Q5: characters pass both ways behind either bus", arguments: SerialBus.allCases)
  func characters(bus: SerialBus) throws {
    let bench = try SerialBench(bus)
    try bench.write("hello")
    #expect(bench.backend.text == "hello")
    #expect(try bench.read(Offset.lineStatus) == 0x60)
    bench.backend.send("hi")
    #expect(try bench.read(Offset.lineStatus) == 0x61)
    #expect(try bench.read(Offset.data) == UInt8(ascii: "h"))
    #expect(try bench.read(Offset.data) == UInt8(ascii: "i"))
    #expect(try bench.read(Offset.lineStatus) == 0x60)
    #expect(try bench.read(Offset.data) == UInt8(ascii: "i"), "the last character again")
  }

  @Test("Q2, Q5: DLAB shows the divisor instead of data", arguments: SerialBus.allCases)
  func divisorLatch(bus: SerialBus) throws {
    let bench = try SerialBench(bus)
    try bench.write(Offset.interruptEnable, 0x0f)
    try bench.write(Offset.lineControl, 0x83)
    #expect(try bench.read(0) == 1)
    try bench.write(0, 0x0c)
    try bench.write(1, 0x03)
    #expect(try bench.read(0) == 0x0c)
    #expect(try bench.read(1) == 0x03)
    #expect(bench.backend.written.isEmpty)
    try bench.write(Offset.lineControl, 0x03)
    #expect(try bench.read(Offset.interruptEnable) == 0x0f)
    try bench.write("x")
    #expect(bench.backend.text == "x")
    try bench.write(Offset.lineControl, 0x83)
    #expect(try bench.read(0) == 0x0c)
  }

  @Test("Q5: causes are identified in the order of their priority", arguments: SerialBus.allCases)
  func priorities(bus: SerialBus) throws {
    let bench = try SerialBench(bus)
    #expect(try bench.read(Offset.identification) == 0x01)
    #expect(!bench.isInterrupting)
    try bench.write(Offset.interruptEnable, 0x0f)
    #expect(bench.isInterrupting, "the transmitter is empty")
    bench.backend.setConnected(false)
    bench.backend.setConnected(true)
    bench.uart.receiveBreak()
    #expect(try bench.read(Offset.identification) == 0x06)
    #expect(try bench.read(Offset.lineStatus) == 0x71)
    #expect(try bench.read(Offset.identification) == 0x04)
    #expect(try bench.read(Offset.data) == 0)
    #expect(try bench.read(Offset.identification) == 0x02)
    #expect(bench.isInterrupting, "the modem lines have changed")
    #expect(try bench.read(Offset.identification) == 0x00)
    #expect(try bench.read(Offset.modemStatus) == 0xbb)
    #expect(try bench.read(Offset.identification) == 0x01)
    #expect(!bench.isInterrupting)
    #expect(try bench.read(Offset.modemStatus) == 0xb0)
  }

  @Test("Q5: a reset brings back the state after power-on", arguments: SerialBus.allCases)
  func reset(bus: SerialBus) throws {
    let bench = try SerialBench(bus)
    try bench.write(Offset.fifoControl, 0x01)
    try bench.write(Offset.interruptEnable, 0x0f)
    try bench.write(Offset.scratch, 0x55)
    bench.backend.room = 0
    try bench.write("lost")
    bench.backend.send("abc")
    try bench.write(Offset.lineControl, 0x9b)
    bench.device.reset(.device)
    #expect(!bench.isInterrupting)
    let values = try (1...7).map { try bench.read($0) }
    #expect(values == [0, 0x01, 0, 0, 0x60, 0xb0, 0])
    bench.backend.makeRoom()
    #expect(bench.backend.written.isEmpty)
  }

  @Test("E10: nothing changes while the device is quiet", arguments: SerialBus.allCases)
  func quiesce(bus: SerialBus) throws {
    let bench = try SerialBench(bus)
    try bench.write(Offset.fifoControl, 0xc1)
    try bench.write(Offset.interruptEnable, 0x0d)
    bench.backend.room = 1
    try bench.write("abc")
    let completion = QuiesceCompletion {}
    guard case .done = bench.device.quiesce(.disconnect, completion) else {
      Issue.record("not quiet at once")
      return
    }
    bench.backend.send("x")
    bench.backend.setConnected(false)
    bench.backend.setConnected(true)
    bench.backend.makeRoom()
    try bench.run(for: .milliseconds(5))
    #expect(!bench.isInterrupting)
    #expect(bench.backend.text == "a")
    bench.device.resume()
    bench.backend.pump()
    #expect(bench.backend.text == "abc")
    try bench.wait { bench.isInterrupting }
    #expect(try bench.read(Offset.identification) == 0xcc)
    #expect(try bench.read(Offset.data) == UInt8(ascii: "x"))
  }
}
