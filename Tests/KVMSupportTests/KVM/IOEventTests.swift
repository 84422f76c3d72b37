import KVMSupport
import Testing
import VFIOUser

@Suite("ioeventfds", .onKVM)
final class IOEventTests {
  let machine: AccessScriptMachine
  let event: EventDescriptor

  init() throws {
    machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    event = try EventDescriptor()
  }

  private func event(
    _ space: GuestSpace = .memory, at address: GuestAddress, _ byteCount: Int,
    matching: UInt64? = nil
  ) -> IOEvent {
    IOEvent(
      space: space, address: address, byteCount: byteCount, matching: matching,
      descriptor: event.rawValue)
  }

  @Test("E2: a storm of doorbells in memory causes no exit", arguments: [1, 2, 4, 8, 0])
  func memoryStorm(byteCount: Int) throws {
    try machine.machine.register(event(at: registers, byteCount))
    let width = byteCount == 0 ? 4 : byteCount
    let seen = try SeenAccesses(
      [.write(at: registers, 1, byteCount: width, count: 5000, adding: 1)], on: machine)
    #expect(seen.exits == [])
    #expect(seen.status == .done)
    #expect(event.consume() == 5000)
  }

  @Test("E2: a storm of doorbells at a port causes no exit", arguments: [1, 2, 4, 0])
  func portStorm(byteCount: Int) throws {
    let port = GuestAddress(0xc000)
    try machine.machine.register(event(.port, at: port, byteCount))
    let width = byteCount == 0 ? 2 : byteCount
    let seen = try SeenAccesses(
      [.write(.port, at: port, 1, byteCount: width, count: 5000, adding: 1)], on: machine)
    #expect(seen.exits == [])
    #expect(event.consume() == 5000)
  }

  @Test("I19: with datamatch only the write of that value is taken")
  func datamatch() throws {
    try machine.machine.register(event(at: registers, 4, matching: 7))
    let seen = try SeenAccesses(
      [.write(at: registers, 5, byteCount: 4, count: 4, adding: 1)], on: machine)
    #expect(
      seen.exits == [
        .memoryWrite(registers, value: 5, byteCount: 4),
        .memoryWrite(registers, value: 6, byteCount: 4),
        .memoryWrite(registers, value: 8, byteCount: 4),
      ])
    #expect(event.consume() == 1)
  }

  @Test("I19: reads, other widths and neighbours exit")
  func neighbours() throws {
    try machine.machine.register(event(at: registers, 4))
    let seen = try SeenAccesses(
      [
        .read(at: registers, byteCount: 4),
        .write(at: registers, 1, byteCount: 2),
        .write(at: registers + 4, 2, byteCount: 4),
        .write(at: registers, 3, byteCount: 4),
      ], on: machine)
    #expect(
      seen.exits == [
        .memoryRead(registers, byteCount: 4),
        .memoryWrite(registers, value: 1, byteCount: 2),
        .memoryWrite(registers + 4, value: 2, byteCount: 4),
      ])
    #expect(event.consume() == 1)
  }

  @Test("Length 0 takes every width at its address, and no write beside it")
  func anyLength() throws {
    try machine.machine.register(event(at: registers, 0))
    let seen = try SeenAccesses(
      [
        .write(at: registers, 1, byteCount: 1), .write(at: registers, 1, byteCount: 2),
        .write(at: registers, 1, byteCount: 4), .write(at: registers, 1, byteCount: 8),
        .write(at: registers + 1, 1, byteCount: 1),
      ], on: machine)
    #expect(seen.exits == [.memoryWrite(registers + 1, value: 1, byteCount: 1)])
    #expect(event.consume() == 4)
  }

  @Test("Values to match share an address, each with its own eventfd")
  func valuesShareAnAddress() throws {
    let other = try EventDescriptor()
    try machine.machine.register(event(at: registers, 4, matching: 1))
    try machine.machine.register(
      IOEvent(address: registers, byteCount: 4, matching: 2, descriptor: other.rawValue))
    let seen = try SeenAccesses(
      [
        .write(at: registers, 1, byteCount: 4), .write(at: registers, 2, byteCount: 4, count: 2),
      ], on: machine)
    #expect(seen.exits == [])
    #expect(event.consume() == 1)
    #expect(other.consume() == 2)
  }

  @Test("After it is gone its writes exit again")
  func unregistered() throws {
    let doorbell = event(at: registers, 4)
    try machine.machine.register(doorbell)
    try machine.machine.unregister(doorbell)
    let seen = try SeenAccesses([.write(at: registers, 9, byteCount: 4)], on: machine)
    #expect(seen.exits == [.memoryWrite(registers, value: 9, byteCount: 4)])
    #expect(event.consume() == nil)
  }

  @Test("The same write twice is EEXIST, named")
  func twice() throws {
    try machine.machine.register(event(at: registers, 4, matching: 5))
    let error = kvmError { try machine.machine.register(event(at: registers, 4, matching: 5)) }
    #expect(error?.operation == .ioEvent)
    #expect(error?.errno == .fileExists)
    #expect(
      error?.description.hasPrefix("KVM_IOEVENTFD (memory 0xe0000000, 4 bytes, value 0x5): ")
        == true)
    let wildcard = kvmError { try machine.machine.register(event(at: registers, 4)) }
    #expect(wildcard?.errno == .fileExists)
    // As the dispatcher sees it.
    #expect(throws: Errno.fileExists) {
      try (machine.machine as any Hypervisor).assign(event(at: registers, 4, matching: 5))
    }
  }

  @Test("What the kernel refuses is named")
  func refused() throws {
    let machine = machine.machine
    #expect(
      kvmError { try machine.unregister(event(at: registers, 4)) }?.errno
        == .noSuchFileOrDirectory)
    #expect(kvmError { try machine.register(event(at: registers, 3)) }?.errno == .invalidArgument)
    #expect(kvmError { try machine.register(event(at: registers, -1)) }?.errno == .invalidArgument)
    #expect(
      kvmError { try machine.register(event(at: registers, 0, matching: 1)) }?.errno
        == .invalidArgument)
    let memory = try SharedMemory(byteCount: 4096)
    let noEvent = IOEvent(address: registers, byteCount: 4, descriptor: memory.rawDescriptor)
    #expect(kvmError { try machine.register(noEvent) }?.errno == .invalidArgument)
    let closed = IOEvent(address: registers, byteCount: 4, descriptor: 1_000_000)
    #expect(kvmError { try machine.register(closed) }?.errno == .badFileDescriptor)
  }
}
