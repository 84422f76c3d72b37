import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

private typealias Offset = SerialBench.Offset

@Suite("16550A with a slow host")
struct SlowBackendTests {
  private let bench: SerialBench

  init() throws {
    bench = try SerialBench()
    try bench.write(Offset.fifoControl, 0x01)
  }

  @Test("Q5: THRE and TEMT stay clear while the host has no room, and nothing is lost")
  func stalls() throws {
    bench.backend.room = 3
    try bench.write("0123456789abcdef")
    #expect(bench.backend.text == "012")
    #expect(try bench.read(Offset.lineStatus) == 0x00)
    bench.backend.makeRoom(4)
    #expect(bench.backend.text == "0123456")
    #expect(try bench.read(Offset.lineStatus) == 0x00)
    bench.backend.makeRoom()
    #expect(bench.backend.text == "0123456789abcdef")
    #expect(try bench.read(Offset.lineStatus) == 0x60)
    #expect(bench.uart.droppedByteCount == 0)
  }

  @Test("Q5: a driver that writes all the same has room for 16 characters; the rest is counted")
  func overflow() throws {
    bench.backend.room = 0
    for number in 0..<20 { try bench.write(Offset.data, UInt8(number)) }
    #expect(bench.uart.droppedByteCount == 4)
    bench.backend.makeRoom()
    #expect(bench.backend.written == Array(0..<16))
  }

  @Test("Q5: the THR empty interrupt comes when the host has taken everything")
  func interrupt() throws {
    try bench.write(Offset.interruptEnable, 0x02)
    _ = try bench.read(Offset.identification)
    bench.backend.room = 1
    try bench.write("ab")
    // The first went at once, and its interrupt was withdrawn by the second.
    #expect(!bench.isInterrupting)
    bench.backend.makeRoom()
    #expect(bench.isInterrupting)
    #expect(try bench.read(Offset.identification) == 0xc2)
  }

  @Test("Q5: a read of LSR is answered when there is room again")
  func lateAnswer() throws {
    bench.backend.room = 0
    try bench.write("a")
    let answer = try bench.readLineStatusLate()
    #expect(answer.isDeferred)
    #expect(answer.value == nil)
    bench.backend.makeRoom()
    #expect(answer.value == 0x60)
  }

  @Test("Q5: a read of LSR waits 100 ms at most")
  func longestWait() throws {
    bench.backend.room = 0
    try bench.write("a")
    let start = MonotonicTime.now
    let answer = try bench.readLineStatusLate()
    try bench.wait { answer.value != nil }
    let elapsed = MonotonicTime.now.nanoseconds - start.nanoseconds
    #expect(answer.value == 0x00)
    #expect(elapsed >= 95_000_000)
  }

  @Test("Q5: a read of LSR does not wait where there is something to report")
  func doesNotWait() throws {
    bench.backend.send("x")
    bench.backend.room = 0
    try bench.write("a")
    let first = try bench.readLineStatusLate()
    #expect(!first.isDeferred)
    #expect(first.value == 0x01)
    _ = try bench.read(Offset.data)
    let second = try bench.readLineStatusLate()
    #expect(second.isDeferred)
    bench.backend.send("y")
    #expect(second.value == 0x01, "what arrives is reported at once")
  }

  @Test("E9: a reset forgets the read that waits, and what waited to be sent")
  func reset() throws {
    bench.backend.room = 0
    try bench.write("a")
    let answer = try bench.readLineStatusLate()
    bench.device.reset(.device)
    try bench.run(for: .milliseconds(120))
    #expect(answer.value == nil)
    #expect(try bench.read(Offset.lineStatus) == 0x60)
  }

  @Test("E10: quiescing answers the read that waits")
  func quiesce() throws {
    bench.backend.room = 0
    try bench.write("a")
    let answer = try bench.readLineStatusLate()
    _ = bench.device.quiesce(.disconnect, QuiesceCompletion {})
    #expect(answer.value == 0x00)
    #expect(try !bench.readLineStatusLate().isDeferred)
  }

  @Test("Q11: unplugging the host ends the stall")
  func unplug() throws {
    bench.backend.room = 0
    try bench.write("abc")
    let answer = try bench.readLineStatusLate()
    bench.port.detach()
    #expect(answer.value == 0x60)
    #expect(bench.port.discardedByteCount == 3)
    let other = ProbeBackend()
    bench.port.attach(other)
    try bench.write("next")
    #expect(other.text == "next")
  }
}
