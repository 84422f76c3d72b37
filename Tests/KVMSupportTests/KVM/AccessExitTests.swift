import KVMSupport
import Testing
import VFIOUser

@Suite("Accesses of a guest", .onKVM)
struct AccessExitTests {
  let machine: AccessScriptMachine

  init() throws { machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false) }

  @Test(
    "E1: a read of memory exits with its width, and gets the monitor's answer",
    arguments: [1, 2, 4, 8])
  func memoryReads(byteCount: Int) throws {
    let answer: UInt64 = 0x8877_6655_4433_2211
    let seen = try SeenAccesses(
      [.read(at: registers + 0x40, byteCount: byteCount, into: 0)], on: machine
    ) { _ in answer }
    #expect(seen.exits == [.memoryRead(registers + 0x40, byteCount: byteCount)])
    #expect(seen.status == .done)
    #expect(try machine.results(1) == [answer & mask(byteCount)])
  }

  @Test("E1: a write of memory exits with its width and value", arguments: [1, 2, 4, 8])
  func memoryWrites(byteCount: Int) throws {
    let value: UInt64 = 0x8877_6655_4433_2211
    let seen = try SeenAccesses(
      [.write(at: registers + 0x48, value, byteCount: byteCount)], on: machine)
    #expect(
      seen.exits
        == [.memoryWrite(registers + 0x48, value: value & mask(byteCount), byteCount: byteCount)])
    #expect(seen.status == .done)
  }

  @Test("E1: a port's read and write exit with their width and value", arguments: [1, 2, 4])
  func ports(byteCount: Int) throws {
    let port = GuestAddress(0x1230)
    let value: UInt64 = 0x4433_2211
    let seen = try SeenAccesses(
      [
        .read(.port, at: port, byteCount: byteCount, into: 1),
        .write(.port, at: port + 4, value, byteCount: byteCount),
      ], on: machine
    ) { _ in value + 0x0101_0101 }
    #expect(
      seen.exits == [
        .portRead(port, byteCount: byteCount),
        .portWrite(port + 4, value: value & mask(byteCount), byteCount: byteCount),
      ])
    #expect(try machine.results(2) == [0, (value + 0x0101_0101) & mask(byteCount)])
  }

  @Test("A read that nobody answers is all-ones", arguments: [1, 2, 4, 8])
  func unanswered(byteCount: Int) throws {
    let seen = try SeenAccesses(
      [.read(at: registers, byteCount: byteCount, into: 0)], on: machine)
    #expect(seen.exits.count == 1)
    #expect(try machine.results(1) == [mask(byteCount)])
  }

  @Test("An access that crosses from one register to the next is one exit")
  func unaligned() throws {
    let seen = try SeenAccesses(
      [
        .read(at: registers + 3, byteCount: 4, into: 0),
        .write(at: registers + 7, 0x1234, byteCount: 2),
      ], on: machine
    ) { _ in 0xaabb_ccdd }
    #expect(
      seen.exits == [
        .memoryRead(registers + 3, byteCount: 4),
        .memoryWrite(registers + 7, value: 0x1234, byteCount: 2),
      ])
    #expect(try machine.results(1) == [0xaabb_ccdd])
  }

  @Test("Of a string write to a port every element is an exit", arguments: [1, 2, 4])
  func stringWrites(byteCount: Int) throws {
    let buffer = GuestAddress(0x8000)
    let elements = 600
    let bytes = (0..<(elements * byteCount)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try machine.memory.write(at: Int(buffer.rawValue), from: bytes.rawSpan)
    let seen = try SeenAccesses(
      [.writeString(port: 0x170, byteCount: byteCount, count: UInt32(elements), buffer: buffer)],
      on: machine)
    let expected = (0..<elements).map { element in
      let value = (0..<byteCount).reduce(UInt64(0)) {
        $0 | UInt64(bytes[element * byteCount + $1]) << (8 * $1)
      }
      return VirtualCPUExit.portWrite(GuestAddress(0x170), value: value, byteCount: byteCount)
    }
    #expect(seen.exits == expected)
    #expect(seen.status == .done)
  }

  @Test(
    "Of a string read of a port every element is an exit with its own answer",
    arguments: [1, 2, 4])
  func stringReads(byteCount: Int) throws {
    let buffer = GuestAddress(0x8000)
    let elements = 3000
    var answer: UInt64 = 0
    let seen = try SeenAccesses(
      [.readString(port: 0x170, byteCount: byteCount, count: UInt32(elements), buffer: buffer)],
      on: machine
    ) { _ in
      answer += 1
      return answer
    }
    let exit = VirtualCPUExit.portRead(GuestAddress(0x170), byteCount: byteCount)
    #expect(seen.exits == [VirtualCPUExit](repeating: exit, count: elements))
    var wrong = 0
    for element in 0..<elements {
      let at = Int(buffer.rawValue) + element * byteCount
      var bytes = [UInt8](repeating: 0, count: byteCount)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try machine.memory.read(at: at, into: &raw)
      let value = bytes.enumerated().reduce(UInt64(0)) {
        $0 | UInt64($1.element) << (8 * $1.offset)
      }
      if value != UInt64(element + 1) & mask(byteCount) { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test("Repeated accesses step in address and value")
  func steps() throws {
    var polls: UInt64 = 0
    let seen = try SeenAccesses(
      [
        .read(at: registers, byteCount: 4, into: 0, count: 3, step: 4),
        .write(at: registers, 0xffff_fffe, byteCount: 8, count: 3, adding: 1, step: 8),
        .poll(at: registers + 0x100, byteCount: 2, mask: 0xff, until: 3, into: 3),
        .writeResult(at: registers + 0x200, of: 3, byteCount: 2, mask: 0xff00, setting: 0x42),
        .poll(at: registers + 0x300, byteCount: 4, until: 1, limit: 2),
      ], on: machine
    ) { exit in
      guard case .memoryRead(let address, _) = exit else { return nil }
      switch address.rawValue & 0xfff {
      case 0x100:
        polls += 1
        return 0x7700 + polls
      case 0x300: return 5
      case let offset: return 0x10 + offset
      }
    }
    #expect(try machine.results(4) == [0x10, 0x14, 0x18, 0x7703])
    #expect(
      seen.exits.filter { if case .memoryWrite = $0 { true } else { false } } == [
        .memoryWrite(registers, value: 0xffff_fffe, byteCount: 8),
        .memoryWrite(registers + 8, value: 0xffff_ffff, byteCount: 8),
        .memoryWrite(registers + 16, value: 0x1_0000_0000, byteCount: 8),
        .memoryWrite(registers + 0x200, value: 0x7742, byteCount: 2),
      ])
    #expect(seen.exits.count == 3 + 3 + 3 + 1 + 2)
    #expect(seen.status == .timedOut)
  }

  @Test(
    "As many accesses as the script says, also where the program has a fast way",
    arguments: [1, 15, 16, 17, 32, 47] as [UInt32])
  func counts(count: UInt32) throws {
    let seen = try SeenAccesses(
      [
        .read(at: registers, byteCount: 4, count: count),
        .write(at: registers + 8, 0x8765_4321, byteCount: 4, count: count),
        .write(at: registers + 12, 1, byteCount: 4, count: count, adding: 1 << 32),
      ], on: machine)
    let expected = [
      VirtualCPUExit.memoryRead(registers, byteCount: 4),
      .memoryWrite(registers + 8, value: 0x8765_4321, byteCount: 4),
      .memoryWrite(registers + 12, value: 1, byteCount: 4),
    ].flatMap { [VirtualCPUExit](repeating: $0, count: Int(count)) }
    #expect(seen.exits == expected)
    #expect(seen.status == .done)
  }

  private func mask(_ byteCount: Int) -> UInt64 {
    byteCount == 8 ? .max : (1 << (8 * UInt64(byteCount))) - 1
  }
}
