import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("gpio over a session", .timeLimit(.minutes(10)))
struct GpioSessionTests {
  @Test("E6: a line that the host sets interrupts the driver, as the kernel's driver handles it")
  func interrupt() throws {
    let bench = try ServedBench { port, loop in
      try PCIFunction(GpioDevice.self, backend: port, loop: loop)
    }
    let registers = try bench.client.region(at: 2)
    let interrupt = try bench.client.enableInterrupts(index: 0, count: 1)[0]
    try registers.write(UInt8(0), at: RegionOffset(1))
    _ = try registers.read(at: RegionOffset(2), as: UInt8.self)
    for level in [1, 0] as [UInt8] {
      try bench.peer.send("set 11 \(level)\n")
      #expect(interrupt.wait(timeout: .seconds(60)) == 1)
      #expect(try registers.read(at: RegionOffset(6), as: UInt8.self) == 0x06)
      #expect(try registers.read(at: RegionOffset(5), as: UInt8.self) == level << 3)
      try registers.write(UInt8(0), at: RegionOffset(1))
      try bench.client.unmaskInterrupts(index: 0, start: 0, count: 1)
    }
    #expect(interrupt.wait(timeout: .milliseconds(20)) == nil)
    try registers.write(UInt8(0x21), at: RegionOffset(0))
    try registers.write(UInt8(0x80), at: RegionOffset(4))
    try bench.wait {
      bench.peer.read()
      return bench.peer.lines == ["ok", "ok", "out 0 1", "out 5 1", "out 15 1"]
    }
    #expect(try registers.read(at: RegionOffset(0), as: UInt8.self) == 0x21)
  }
}
