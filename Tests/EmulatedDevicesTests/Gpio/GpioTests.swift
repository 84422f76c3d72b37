import Logging
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// A `gpio` on its bus, without a server.
private struct Bench {
  let host: BackendBench
  let function: PCIFunction

  init(_ settings: String..., plug: (BackendBench) throws -> Void = { _ in }) throws {
    host = try BackendBench()
    try plug(host)
    var knobs = try KnobValues(device: "gpio", declaring: GpioDevice.declaration.knobs)
    for setting in settings { try knobs.set(setting) }
    function = try PCIFunction(
      GpioDevice.self, knobs: knobs, backend: host.port, loop: host.loop)
    function.start(
      DeviceServices(layout: function.layout, loop: host.loop, logger: Logger(label: "test")))
  }

  func read(_ offset: UInt64) throws -> UInt8 {
    try #require(function.region(at: 2)).loadBytes(at: offset, byteCount: 1)[0]
  }

  func write(_ offset: UInt64, _ value: UInt8) throws {
    try #require(function.region(at: 2)).storeBytes([value], at: offset)
  }

  /// The Interrupt Status bit of the Status register.
  var isInterrupting: Bool {
    get throws {
      try #require(function.region(at: 7)).loadBytes(at: 6, byteCount: 1)[0] & 8 != 0
    }
  }
}

@Suite("gpio")
struct GpioTests {
  @Test("E1: it is found as a PCI-IDIO-16 with its registers in BAR 2")
  func identity() throws {
    let bench = try Bench()
    let configuration = try #require(bench.function.region(at: 7)).loadBytes(at: 0, byteCount: 64)
    #expect(configuration[0...3] == [0x4f, 0x49, 0xc8, 0x0d])
    #expect(configuration[0x3d] == 1)
    #expect(bench.function.layout.regions[2].byteCount == 8)
    #expect(configuration[0x18] == 1, "an I/O window")
  }

  @Test("E1: outputs read back, and a reset turns them off")
  func outputs() throws {
    let bench = try Bench()
    try bench.write(0, 0xa5)
    try bench.write(4, 0x3c)
    #expect(try bench.read(0) == 0xa5)
    #expect(try bench.read(4) == 0x3c)
    bench.function.reset(.device)
    #expect(try bench.read(0) == 0)
    #expect(try bench.read(4) == 0)
  }

  @Test("Q7: the knob sets the inputs at power-on, and no reset changes them")
  func knob() throws {
    let bench = try Bench("inputs=0x8001")
    #expect(try bench.read(1) == 0x01)
    #expect(try bench.read(5) == 0x80)
    bench.function.reset(.device)
    #expect(try bench.read(5) == 0x80)
    #expect(throws: KnobError.self) { try Bench("inputs=0x10000") }
  }

  @Test("E6: a change interrupts where enabled, until cleared")
  func interrupt() throws {
    let probe = ProbeBackend()
    let bench = try Bench { $0.port.attach(probe) }
    probe.send("set 3 1\n")
    #expect(probe.text == "ok\n")
    #expect(try bench.read(1) == 0x08)
    #expect(try bench.read(6) == 0, "disabled after power-on")
    #expect(try bench.read(2) == 0, "reading enables")
    #expect(try !bench.isInterrupting)
    probe.send("set 3 0\n")
    #expect(try bench.isInterrupting)
    #expect(try bench.read(6) == 0x05)
    probe.send("set 9 1\n")
    #expect(try bench.read(6) == 0x07)
    try bench.write(1, 0)
    #expect(try !bench.isInterrupting)
    #expect(try bench.read(6) == 0)
    #expect(try bench.read(5) == 0x02, "clearing does not touch the inputs")
    probe.send("set 9 1\n")
    #expect(try !bench.isInterrupting, "no change")
    probe.send("set 9 0\n")
    try bench.write(2, 0)
    #expect(try !bench.isInterrupting, "disabling releases it")
    try bench.write(1, 0)
    probe.send("set 9 1\n")
    _ = try bench.read(2)
    #expect(try !bench.isInterrupting, "changes while disabled are not remembered")
  }

  @Test("E10: input lines stay as they are while the device is quiet")
  func quiesce() throws {
    let probe = ProbeBackend()
    let bench = try Bench { $0.port.attach(probe) }
    _ = try bench.read(2)
    _ = bench.function.quiesce(.disconnect, QuiesceCompletion {})
    probe.send("set 0 1\n")
    #expect(try bench.read(1) == 0)
    #expect(try !bench.isInterrupting)
    bench.function.resume()
    probe.pump()
    #expect(try bench.read(1) == 1)
    #expect(try bench.isInterrupting)
  }

  @Test("Q12: the wires speak lines of text over a Unix socket")
  func socket() throws {
    let bench = try Bench { try $0.attach("unix:\($0.path("socket"))") }
    let peer = try Peer(socket: bench.host.path("socket"))
    try peer.send("set 3 1\n")
    try bench.host.wait { peer.read() == "ok\n" }
    #expect(try bench.read(1) == 0x08)
    try bench.write(0, 0x20)
    try bench.write(4, 0x02)
    try bench.write(4, 0x02)
    try bench.write(0, 0x00)
    try bench.host.wait {
      peer.read() == "ok\nout 5 1\nout 9 1\nout 5 0\n"
    }
    try peer.send("inputs\r\noutputs\nget 3\nget 4\n\n")
    try bench.host.wait {
      peer.read(); return peer.lines.count == 8
    }
    #expect(peer.lines.suffix(4) == ["inputs 0x0008", "outputs 0x0200", "in 3 1", "in 4 0"])
  }

  @Test(
    "E17: a line that is no command is answered with an error and changes nothing",
    arguments: [
      ("set 16 1", "error a line is a number from 0 to 15"),
      ("set -1 1", "error a line is a number from 0 to 15"),
      ("set 3 2", "error a level is 0 or 1"),
      ("set 3", "error write: set LINE 0|1"),
      ("get", "error write: get LINE"),
      ("halt", "error unknown command; write set LINE 0|1, get LINE, inputs or outputs"),
      (String(repeating: "x", count: 5000), "error a line has at most 128 bytes"),
    ])
  func mistakes(line: String, answer: String) throws {
    let probe = ProbeBackend()
    let bench = try Bench { $0.port.attach(probe) }
    probe.send(line + "\nset 1 1\n")
    #expect(probe.text == answer + "\nok\n")
    #expect(try bench.read(1) == 0x02)
  }

  @Test("E17: a peer that does not read is sent the last levels, and is not read from")
  func slowPeer() throws {
    let probe = ProbeBackend()
    let bench = try Bench { $0.port.attach(probe) }
    probe.room = 0
    for level in 0..<1000 { try bench.write(0, UInt8(level & 1)) }
    try bench.write(4, 0x80)
    probe.send("set 2 1\n")
    #expect(probe.pendingByteCount == 8)
    #expect(probe.written.isEmpty)
    probe.makeRoom()
    probe.pump()
    #expect(probe.text == "out 0 1\nout 15 1\nok\n")
    #expect(try bench.read(1) == 0x04)
  }

  @Test("Q8: every register and knob is described")
  func described() {
    #expect(GpioRegister.declarations.allSatisfy { !$0.description.isEmpty })
    #expect(GpioDevice.declaration.knobs.allSatisfy { !$0.description.isEmpty })
  }
}
