import Glibc
import KVMSupport
import Testing
import VFIOUser

@Suite("How a virtual CPU stops", .onKVM)
struct CPUEndTests {
  let machine: VirtualMachine
  let memory: SharedMemory
  let cpu: VirtualCPU
  let start = GuestAddress(0x1000)

  init() throws {
    machine = try VirtualMachine(kvm: KVM())
    memory = try SharedMemory(byteCount: 0x1_0000)
    try machine.map(MemorySlot(address: GuestAddress(0), memory: memory, byteCount: 0x1_0000))
    cpu = try machine.makeCPU(0)
  }

  private func run(_ code: [UInt8]) throws -> VirtualCPUExit {
    try memory.write(at: Int(start.rawValue), from: code.rawSpan)
    try cpu.set32BitFlatMode(entry: start, stack: GuestAddress(0x8000))
    return try cpu.run()
  }

  @Test("HLT without an interrupt controller")
  func halts() throws {
    #expect(try run([0xf4]) == .halted)  // hlt
  }

  @Test("A failure while a failure is handled is a shutdown")
  func shutsDown() throws {
    // lidt 0x2000 (no bytes, so no table); ud2
    #expect(try run([0x0f, 0x01, 0x1d, 0x00, 0x20, 0x00, 0x00, 0x0f, 0x0b]) == .shutdown)
  }

  @Test("An instruction where there is no memory is an internal error")
  func noMemory() throws {
    // mov $0xd0000000, %eax; jmp *%eax
    let exit = try run([0xb8, 0x00, 0x00, 0x00, 0xd0, 0xff, 0xe0])
    guard case .failed(.internalError) = exit else {
      Issue.record("\(exit)")
      return
    }
  }

  @Test("The registers that a guest starts with arrive, and those that it leaves are told")
  func registersTravel() throws {
    let code: [UInt8] = [0x01, 0xd8, 0x41, 0xf4]  // add %ebx, %eax; inc %ecx; hlt
    try memory.write(at: Int(start.rawValue), from: code.rawSpan)
    var registers = CPURegisters(instruction: 0x1000, stack: 0x8000)
    registers.eax = 0x8000_0000
    registers.ebx = 0x1234
    registers.ecx = 0xffff_ffff
    registers.edx = 1
    registers.esi = 2
    registers.edi = 3
    registers.ebp = 4
    try cpu.set32BitFlatMode(registers)
    #expect(try cpu.run() == .halted)
    registers.eax = 0x8000_1234
    registers.ecx = 0
    registers.instruction = 0x1004
    #expect(try cpu.registers() == registers)
  }

  @Test("Real mode: a segment's base is sixteen times its number")
  func realMode() throws {
    // mov $0x1234, %ax; mov %ax, 0x10; hlt
    let code: [UInt8] = [0xb8, 0x34, 0x12, 0xa3, 0x10, 0x00, 0xf4]
    try memory.write(at: 0x3000, from: code.rawSpan)
    try cpu.setRealMode(segment: 0x300, CPURegisters(instruction: 0, stack: 0x800))
    #expect(try cpu.run() == .halted)
    #expect(try memory.load32(at: 0x3010) == 0x1234)
  }

  @Test("E16: memory whose file was shrunk ends the access or the run, not the monitor")
  func shrunkMemory() throws {
    var template = Array("/tmp/kvm-support-test-XXXXXX".utf8CString)
    let file = mkstemp(&template)
    try #require(file >= 0)
    unlink(template)
    let descriptor = OwnedDescriptor(adopting: file)
    try #require(ftruncate(file, 0x2000) == 0)
    let shrinking = try SharedMemory(
      adopting: descriptor.duplicate(), offset: 0, byteCount: 0x2000, writable: true)
    try machine.map(
      MemorySlot(address: GuestAddress(0x10_0000), memory: shrinking, byteCount: 0x2000))
    try #require(ftruncate(file, 0) == 0)
    // mov 0x100000, %eax; hlt
    var exit: VirtualCPUExit?
    let error = kvmError { exit = try run([0xa1, 0x00, 0x00, 0x10, 0x00, 0xf4]) }
    if let error {
      #expect(error.operation == .run)
      #expect(error.errno == .badAddress)
      #expect(error.description.contains("shrunk"))
    } else {
      // Where KVM emulates the guest it takes the place for one without memory.
      #expect(exit == .memoryRead(GuestAddress(0x10_0000), byteCount: 4))
    }
  }
}
