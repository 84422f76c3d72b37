import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// A driver's view of a serial port's registers, over a client.
private struct Registers {
  let region: ClientRegion
  let bus: SerialBus

  func read(_ offset: UInt64) throws -> UInt8 {
    switch bus {
    case .pci: try region.read(at: RegionOffset(offset))
    case .platformLittleEndian:
      UInt8(truncatingIfNeeded: try region.read(at: RegionOffset(offset * 4), as: UInt32.self))
    case .platformBigEndian:
      UInt8(
        truncatingIfNeeded: try region.read(at: RegionOffset(offset * 4), as: UInt32.self)
          .byteSwapped)
    }
  }

  func write(_ offset: UInt64, _ value: UInt8) throws {
    switch bus {
    case .pci: try region.write(value, at: RegionOffset(offset))
    case .platformLittleEndian: try region.write(UInt32(value), at: RegionOffset(offset * 4))
    case .platformBigEndian:
      try region.write(UInt32(value).byteSwapped, at: RegionOffset(offset * 4))
    }
  }
}

@Suite("serial over a session", .timeLimit(.minutes(10)))
struct SerialSessionTests {
  private func serve(_ bus: SerialBus) throws -> (ServedBench, Registers) {
    let bench = try ServedBench { port, loop in
      switch bus {
      case .pci: try PCIFunction(SerialDevice.self, backend: port, loop: loop)
      case .platformLittleEndian, .platformBigEndian:
        try PlatformFunction(
          PlatformSerial(port: port, loop: loop),
          endianness: bus == .platformBigEndian ? .big : .little)
      }
    }
    let registers = Registers(region: try bench.client.region(at: 0), bus: bus)
    try bench.wait { try registers.read(6) & 0x80 != 0 }
    return (bench, registers)
  }

  @Test(
    "E7, Q2, Q5: one core is served on PCI and on a platform bus", arguments: SerialBus.allCases)
  func buses(bus: SerialBus) throws {
    let (bench, registers) = try serve(bus)
    #expect(bench.client.deviceInfo.flags.contains(.pci) == (bus == .pci))
    let interrupt = try bench.client.enableInterrupts(index: 0, count: 1)[0]
    for byte in "hello".utf8 { try registers.write(0, byte) }
    try bench.wait { bench.peer.read() == "hello" }
    try registers.write(1, 0x01)
    #expect(interrupt.consume() == nil)
    try bench.peer.send("ab")
    #expect(interrupt.wait(timeout: .seconds(60)) == 1)
    #expect(try registers.read(2) == 0x04)
    #expect(try registers.read(0) == UInt8(ascii: "a"))
    // Without FIFOs the second character follows, and interrupts once the first is unmasked.
    try bench.wait { try registers.read(5) & 1 != 0 }
    try bench.client.unmaskInterrupts(index: 0, start: 0, count: 1)
    #expect(interrupt.wait(timeout: .seconds(60)) == 1)
    #expect(try registers.read(0) == UInt8(ascii: "b"))
    try bench.client.unmaskInterrupts(index: 0, start: 0, count: 1)
    #expect(interrupt.wait(timeout: .milliseconds(20)) == nil)
  }

  @Test("Q5: with a stopped reader LSR is answered late, within QEMU's patience; nothing is lost")
  func stoppedReader() throws {
    let (bench, registers) = try serve(.pci)
    try registers.write(2, 0x01)
    var sent: [UInt8] = []
    func burst() throws {
      for _ in 0..<16 {
        let byte = UInt8(truncatingIfNeeded: sent.count &* 13)
        // As QEMU writes: posted.
        try registers.region.post(byte, at: RegionOffset(0))
        sent.append(byte)
      }
    }
    var slowest: UInt64 = 0
    while true {
      let start = MonotonicTime.now.nanoseconds
      let status = try registers.read(5)
      slowest = MonotonicTime.now.nanoseconds - start
      guard status & 0x20 != 0 else { break }
      try burst()
      try #require(sent.count < 1 << 22)
    }
    #expect(slowest >= 95_000_000)
    // The reader goes on, and so does the driver.
    let end = sent.count + 3000
    try bench.wait {
      bench.peer.read()
      if sent.count < end, try registers.read(5) & 0x20 != 0 { try burst() }
      return sent.count >= end && bench.peer.received.count == sent.count
    }
    #expect(bench.peer.received == sent)
  }

  /// Sends until the host has no room.
  private func fill(_ registers: Registers) throws {
    while try registers.read(5) & 0x20 != 0 {
      for _ in 0..<256 { try registers.region.post(UInt8(0x55), at: RegionOffset(0)) }
    }
  }

  @Test("Q5: a reader that goes on while LSR waits lets it answer at once")
  func answersWhenRoom() throws {
    let (bench, registers) = try serve(.pci)
    // LSR waits 100 ms, and a busy machine may let that pass before the reader goes on.
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    var answer: UInt64 = 0
    repeat {
      try fill(registers)
      let pending = try registers.region.startRead(at: RegionOffset(5), byteCount: 1)
      bench.peer.read()
      answer = try bench.client.finishRead(pending)
    } while answer != 0x60 && MonotonicTime.now < deadline
    #expect(answer == 0x60)
  }

  @Test("E9, E10: a reset makes a read that waits void, and the port works again")
  func resetWhileWaiting() throws {
    let (bench, registers) = try serve(.pci)
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    var error: ClientError?
    repeat {
      try fill(registers)
      let pending = try registers.region.startRead(at: RegionOffset(5), byteCount: 1)
      try bench.client.reset()
      // The reset makes the read void, unless a busy machine let its 100 ms pass before.
      do throws(ClientError) { _ = try bench.client.finishRead(pending) } catch let failure {
        error = failure
      }
    } while error == nil && MonotonicTime.now < deadline
    #expect(error?.errno == .canceled)
    #expect(try registers.read(5) == 0x60)
    #expect(try registers.read(2) == 0x01)
  }
}
