import KVMSupport
import Testing
import VFIOUser

@Suite("Access scripts")
struct AccessScriptTests {
  @Test("Each operation is an entry of 40 bytes, and the end is one more")
  func encoding() throws {
    let script = AccessScript([
      .write(
        .port, at: GuestAddress(0x1234), 0x1122_3344_5566_7788, byteCount: 2, count: 3, adding: 5,
        step: 6)
    ])
    #expect(
      try script.encoded() == [
        2, 1, 2, 0, 3, 0, 0, 0,
        0x34, 0x12, 0, 0, 0, 0, 0, 0,
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        5, 0, 0, 0, 0, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff, 6, 0, 0, 0,
        0, 0, 0, 0, 1, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
      ])
    let handler = AccessScript([
      .onInterrupt(vector: 0x41, .read(at: GuestAddress(0xe000_0000), byteCount: 4, into: 2))
    ])
    let bytes = try handler.encoded()
    #expect(bytes.count == 3 * AccessScript.entryByteCount)
    #expect(Array(bytes[0..<4]) == [7, 0, 0, 0x41])
    #expect(Array(bytes[40..<44]) == [1, 0, 4, 0])
  }

  @Test(
    "What the guest could not do is EINVAL",
    arguments: [
      AccessOperation.read(at: GuestAddress(0), byteCount: 3),
      .read(at: GuestAddress(0), byteCount: 0),
      .read(at: GuestAddress(0), byteCount: 4, count: 0),
      .read(at: GuestAddress(1 << 32), byteCount: 4),
      .read(at: GuestAddress(0), byteCount: 4, into: -1),
      .read(at: GuestAddress(0), byteCount: 4, into: 10),
      .read(at: GuestAddress(0), byteCount: 4, into: 5, count: 6),
      .read(.port, at: GuestAddress(0), byteCount: 8),
      .read(.port, at: GuestAddress(0x1_0000), byteCount: 1),
      .write(.port, at: GuestAddress(0), 0, byteCount: 8),
      .write(at: GuestAddress(0), 0, byteCount: 16),
      .writeResult(at: GuestAddress(0), of: 10, byteCount: 4),
      .poll(at: GuestAddress(0), byteCount: 4, until: 0, limit: 0),
      .onInterrupt(vector: 0x40, .enableInterrupts),
      .onInterrupt(
        vector: 0x40, .onInterrupt(vector: 0x41, .read(at: GuestAddress(0), byteCount: 1))),
      .readString(port: 0, byteCount: 8, count: 1, buffer: GuestAddress(0)),
      .writeString(port: 0, byteCount: 1, count: 1, buffer: GuestAddress(1 << 32)),
    ])
  func refused(operation: AccessOperation) {
    #expect(throws: Errno.invalidArgument) {
      try AccessScript([operation]).encoded(resultCount: 10)
    }
  }

  @Test("A script that is too long for its place is E2BIG, a place outside of the memory EINVAL")
  func places() throws {
    let memory = try SharedMemory(byteCount: AccessScriptPlacement.memoryByteCount(cpuCount: 1))
    let step = AccessOperation.read(at: GuestAddress(0), byteCount: 1)
    let placement = AccessScriptPlacement.standard()
    let most = placement.tableByteCount / AccessScript.entryByteCount - 1
    try AccessScript(Array(repeating: step, count: most)).load(into: memory, placement)
    #expect(throws: Errno.argListTooLong) {
      try AccessScript(Array(repeating: step, count: most + 1)).load(into: memory, placement)
    }
    #expect(throws: Errno.invalidArgument) {
      try AccessScript([step]).load(into: memory, .standard(cpu: 1))
    }
    #expect(throws: Errno.invalidArgument) {
      try AccessScript.results(placement.resultCount + 1, in: memory, placement)
    }
  }

  @Test("The places of 16 CPUs, and the program, do not overlap")
  func noOverlap() throws {
    var ranges: [Range<UInt64>] = [
      GuestProgram.address.rawValue..<GuestProgram.address.rawValue
        + UInt64(GuestProgram.accessScript.bytes.count)
    ]
    for cpu in 0..<16 {
      let place = AccessScriptPlacement.standard(cpu: cpu)
      let size = UInt64(AccessScriptPlacement.workspaceByteCount)
      #expect(place.workspace.rawValue % size == 0)
      ranges.append(place.workspace.rawValue..<place.workspace.rawValue + size)
      ranges.append(
        place.table.rawValue..<place.table.rawValue + UInt64(place.tableByteCount))
      ranges.append(
        place.results.rawValue..<place.results.rawValue + 8 * UInt64(place.resultCount))
    }
    let sorted = ranges.sorted { $0.lowerBound < $1.lowerBound }
    for (first, second) in zip(sorted, sorted.dropFirst()) {
      #expect(first.upperBound <= second.lowerBound)
    }
    #expect(
      sorted.last?.upperBound == UInt64(AccessScriptPlacement.memoryByteCount(cpuCount: 16)))
  }

  @Test("A status reads in words")
  func statusText() {
    #expect("\(AccessScriptStatus.done)" == "done")
    #expect("\(AccessScriptStatus(rawValue: 7))" == "ended with status 7")
    #expect("\(AccessScriptStatus.exception(13))" == "exception 13")
  }
}

@Suite("The program that walks a script", .onKVM, .timeLimit(.minutes(10)))
struct AccessScriptProgramTests {
  @Test("A script ends with a status of its own, and an empty one with done")
  func statuses() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    #expect(try SeenAccesses([], on: machine).status == .done)
    let seen = try SeenAccesses(
      [.exit(status: 42), .read(at: registers, byteCount: 1)], on: machine)
    #expect(seen.status == AccessScriptStatus(rawValue: 42))
    #expect(seen.exits == [])
  }

  @Test("A damaged table ends the script")
  func damaged() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    let place = AccessScriptPlacement.standard()
    let seen = try SeenAccesses(
      [
        .write(at: place.table + 40, 0xee, byteCount: 1),
        .read(at: registers, byteCount: 4),
      ], on: machine)
    #expect(seen.status == .badEntry)
    #expect(seen.exits == [])
  }

  @Test("An exception of the CPU ends the script with its vector")
  func exceptions() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    // The program's first routine for a read becomes an undefined instruction.
    let routine = GuestProgram.address
    let place = AccessScriptPlacement.standard()
    var cpuRegisters = place.registers
    try AccessScript([.write(at: routine, 0x0b0f, byteCount: 2)]).load(into: machine.memory, place)
    try machine.cpus[0].set32BitFlatMode(cpuRegisters)
    #expect(
      try machine.cpus[0].run() == .portWrite(AccessScript.exitPort, value: 0, byteCount: 4))
    // With the interrupt table of the first run, at the instruction that it wrote.
    cpuRegisters.instruction = UInt32(routine.rawValue)
    try machine.cpus[0].set32BitFlatMode(cpuRegisters)
    #expect(
      try machine.cpus[0].run()
        == .portWrite(
          AccessScript.exitPort, value: UInt64(AccessScriptStatus.exception(6).rawValue),
          byteCount: 4))
  }

  @Test("A result is written back, masked and with bits set, up to 64 bits")
  func writesResults() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    let place = GuestAddress(0x6000)
    try machine.memory.store64(0x1122_3344_5566_7788, at: 0x6000)
    let seen = try SeenAccesses(
      [
        .read(at: place, byteCount: 8, into: 3),
        .writeResult(
          at: place + 8, of: 3, byteCount: 8, mask: 0xffff_0000_ffff_0000, setting: 0x1),
        .read(at: place + 8, byteCount: 8, into: 4),
      ], on: machine)
    #expect(seen.status == .done)
    #expect(try machine.results(5)[4] == 0x1122_0000_5566_0001)
  }
}
