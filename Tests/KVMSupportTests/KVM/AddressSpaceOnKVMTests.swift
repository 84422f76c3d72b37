import KVMSupport
import Synchronization
import Testing
import VFIOUser

@Suite("An address space with KVM below it", .onKVM, .timeLimit(.minutes(10)))
struct AddressSpaceOnKVMTests {
  /// Registers that read as their offset and remember what was written.
  private final class Registers: GuestAccessHandler {
    let written = Mutex<[UInt64]>([])
    func read(at offset: UInt64, byteCount: Int) -> UInt64 { 0x1_0000 + offset }
    func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
      written.withLock { $0 += [offset, value] }
    }
  }

  @Test("A guest's accesses reach what is placed; what nobody claims is all-ones")
  func placed() throws {
    let machine = try AccessScriptMachine(kvm: KVM())
    let space = AddressSpace(hypervisor: machine.machine)
    let memoryRegisters = Registers()
    let portRegisters = Registers()
    try space.place(memoryRegisters, in: .memory, at: registers, byteCount: 0x1000)
    try space.place(portRegisters, in: .port, at: GuestAddress(0x500), byteCount: 8)
    let status = try machine.run(
      AccessScript([
        .read(at: registers + 0x24, byteCount: 4, into: 0),
        .write(at: registers + 0x30, 0x1122_3344_5566_7788, byteCount: 8),
        .read(.port, at: GuestAddress(0x504), byteCount: 2, into: 1),
        .write(.port, at: GuestAddress(0x501), 0x9a, byteCount: 1),
        .read(at: registers + 0x1000, byteCount: 4, into: 2),
      ]), in: space)
    #expect(status == .done)
    #expect(try machine.results(3) == [0x1_0024, 4, 0xffff_ffff])
    #expect(memoryRegisters.written.withLock { $0 } == [0x30, 0x1122_3344_5566_7788])
    #expect(portRegisters.written.withLock { $0 } == [1, 0x9a])
  }

  @Test("An exit takes some time, and its measure ends")
  func exitDuration() throws {
    let machine = try AccessScriptMachine(kvm: KVM())
    #expect(try machine.exitDuration(count: 500) > .zero)
    // Interruptions do not end it.
    machine.cpus[0].kick()
    #expect(try machine.exitDuration(count: 10) > .zero)
  }
}
