import CKVMLinux
import VFIOUser

/// A CPU of a virtual machine.
///
/// Threads: one thread at a time runs it and answers its reads; anyone may kick. A run that begins
/// while another thread is in one throws `EBUSY`.
@safe
public final class VirtualCPU: @unchecked Sendable {
  // What is reached through the pointer is guarded by the shim: one runner at a time, and kicks are
  // atomic.

  /// Its machine.
  public let machine: VirtualMachine
  /// Its number, which is also its local APIC's.
  public let index: Int
  private let cpu: OpaquePointer

  init(machine: VirtualMachine, index: UInt32) throws(KVMError) {
    var made: OpaquePointer?
    var step: CInt = 0
    // Safety: both results are local variables, written during the call.
    let result = unsafe ckvm_create_cpu(
      machine.kvm.descriptor.rawValue, machine.descriptor.rawValue, index, &made, &step)
    let steps: [KVMOperation] = [
      .createCPU, .getMappingSize, .mapCPU, .getIdentification, .setIdentification,
    ]
    _ = try KVMError.check(result, steps[Int(step)], "CPU \(index)")
    guard let made = unsafe made else { throw KVMError(.createCPU, .ioError) }
    self.machine = machine
    self.index = Int(index)
    unsafe cpu = made
  }

  deinit {
    // Safety: made by the initialiser; nobody runs or kicks a CPU that nobody holds.
    unsafe ckvm_destroy_cpu(cpu)
  }

  // MARK: State

  /// Lets the CPU begin in 32-bit protected mode without paging: each segment is all of memory,
  /// interrupts are disabled, MMX works. A CPU other than the first need not be started by another
  /// one then. The runner's thread, here and below: the kernel lets others wait until the run in
  /// progress has ended.
  ///
  /// - Throws: what `KVM_GET_SREGS`, `KVM_SET_SREGS`, `KVM_SET_REGS` or `KVM_SET_MP_STATE` says;
  ///   ``KVMError/operation`` names which.
  public func set32BitFlatMode(_ registers: CPURegisters) throws(KVMError) {
    var raw = registers.raw
    var step: CInt = 0
    // Safety: local variables, read and written during the call; the pointer is our own.
    let result = unsafe ckvm_set_flat_mode(cpu, &raw, machine.hasInterruptController, &step)
    try check(result, step)
  }

  /// As ``set32BitFlatMode(_:)``, with all other registers zero.
  ///
  /// - Throws: `EINVAL` for an address beyond 32 bits, else as that one.
  public func set32BitFlatMode(entry: GuestAddress, stack: GuestAddress) throws(KVMError) {
    guard let instruction = UInt32(exactly: entry.rawValue),
      let top = UInt32(exactly: stack.rawValue)
    else { throw KVMError(.setRegisters, .invalidArgument, "entry \(entry), stack \(stack)") }
    try set32BitFlatMode(CPURegisters(instruction: instruction, stack: top))
  }

  /// Lets the CPU begin in 16-bit real mode, with every segment at `segment`; the registers' upper
  /// halves should be zero. Throws as ``set32BitFlatMode(_:)``.
  public func setRealMode(segment: UInt16, _ registers: CPURegisters) throws(KVMError) {
    var raw = registers.raw
    var step: CInt = 0
    // Safety: as for set32BitFlatMode.
    let result = unsafe ckvm_set_real_mode(
      cpu, segment, &raw, machine.hasInterruptController, &step)
    try check(result, step)
  }

  private func check(_ result: CInt, _ step: CInt) throws(KVMError) {
    let steps: [KVMOperation] = [
      .getSpecialRegisters, .setSpecialRegisters, .setRegisters, .setState,
    ]
    _ = try KVMError.check(result, steps[Int(step)], "CPU \(index)")
  }

  /// The registers as the guest left them; the runner's thread.
  ///
  /// - Throws: what `KVM_GET_REGS` says.
  public func registers() throws(KVMError) -> CPURegisters {
    var raw = ckvm_registers()
    // Safety: a local variable, written during the call; the pointer is our own.
    let result = unsafe ckvm_get_registers(cpu, &raw)
    _ = try KVMError.check(result, .getRegisters, "CPU \(index)")
    return CPURegisters(raw)
  }

  /// Whether the guest has halted it with interrupts disabled, so that only a reset could wake it;
  /// false in a machine without interrupt controller, where the run ends with `.halted`. The
  /// runner's thread.
  public var isHaltedForGood: Bool {
    // Safety: the pointer is our own.
    unsafe machine.hasInterruptController && ckvm_is_halted_for_good(cpu) > 0
  }

  // MARK: Running

  /// Runs the guest until something happens that it cannot do by itself. A read that the last exit
  /// was ends with what ``complete(_:)`` said. The calling thread does not block the signal of
  /// kicks (SIGRTMIN) any more.
  ///
  /// - Throws: what `KVM_RUN` says: `EFAULT` for memory that cannot be used, `EBUSY` for a second
  ///   runner.
  public func run() throws(KVMError) -> VirtualCPUExit {
    var exit = ckvm_exit()
    // Safety: a local variable, written during the call; the pointer is our own.
    let result = unsafe ckvm_run(cpu, &exit)
    _ = try KVMError.check(result, .run, "CPU \(index)")
    let address = GuestAddress(exit.address)
    let byteCount = Int(exit.byte_count)
    return switch exit.reason {
    case CKVM_EXIT_INTERRUPTED: .interrupted
    case CKVM_EXIT_MEMORY_READ: .memoryRead(address, byteCount: byteCount)
    case CKVM_EXIT_MEMORY_WRITE: .memoryWrite(address, value: exit.value, byteCount: byteCount)
    case CKVM_EXIT_PORT_READ: .portRead(address, byteCount: byteCount)
    case CKVM_EXIT_PORT_WRITE: .portWrite(address, value: exit.value, byteCount: byteCount)
    case CKVM_EXIT_HALTED: .halted
    case CKVM_EXIT_SHUTDOWN: .shutdown
    case CKVM_EXIT_FAIL_ENTRY: .failed(.entry(reason: exit.value))
    case CKVM_EXIT_INTERNAL_ERROR: .failed(.internalError(exit.value))
    case CKVM_EXIT_SYSTEM_EVENT: .failed(.systemEvent(exit.value))
    default: .failed(.other(exit.address))
    }
  }

  /// Answers the read that the last run ended with; of `value` the access's bytes count. The guest
  /// gets it when it runs again. Nothing happens when the last exit was no read. The runner's
  /// thread.
  public func complete(_ value: UInt64) {
    // Safety: the pointer is our own; the shim knows the place and size of the answer.
    unsafe ckvm_complete(cpu, value)
  }

  /// Ends the run in progress, or else the next one, with `.interrupted`; and interrupts what the
  /// runner's thread waits for between two runs. Any thread.
  ///
  /// Several kicks may end one run. None is lost: a run that returns `.interrupted` returns it
  /// after every kick that it stands for. An access is not repeated and not left out for it. A wait
  /// between two runs that begins in the very moment of the kick may not notice, and lasts as long
  /// as it would.
  public func kick() {
    // Safety: the pointer is our own; the shim's kick is atomic.
    unsafe ckvm_kick(cpu)
  }
}
