import VFIOUser

/// A virtual machine that does nothing but carry out access scripts: memory from address 0 on, the
/// program, and CPUs. What an access means is its user's business.
///
/// Tests use it, and measurements: a script of reads that the handler answers at once costs what an
/// exit costs.
///
/// Threads: each CPU's script is run by one thread at a time.
public final class AccessScriptMachine: Sendable {
  /// The machine.
  public let machine: VirtualMachine
  /// What the guest has from its address 0 on.
  public let memory: SharedMemory
  /// Its CPUs, in 32-bit flat mode.
  public let cpus: [VirtualCPU]

  /// Makes a machine.
  ///
  /// - Parameters:
  ///   - cpuCount: 1 to 16.
  ///   - hasInterruptController: without one no interrupts arrive.
  /// - Throws: what making the machine, its memory, its interrupt controller or a CPU throws:
  ///   ``VirtualMachine/init(kvm:)``, ``VirtualMachine/map(_:)``,
  ///   ``VirtualMachine/createInterruptController()``, ``VirtualMachine/makeCPU(_:)``; with the
  ///   operation ``KVMOperation/setMemory`` also where the memory cannot be had.
  public init(
    kvm: KVM, cpuCount: Int = 1, hasInterruptController: Bool = true
  ) throws(KVMError) {
    machine = try VirtualMachine(kvm: kvm)
    let byteCount = AccessScriptPlacement.memoryByteCount(cpuCount: cpuCount)
    do {
      memory = try SharedMemory(byteCount: byteCount, name: "guest")
      try GuestProgram.accessScript.load(into: memory)
    } catch {
      throw KVMError(.setMemory, error, "the guest's memory")
    }
    try machine.map(
      MemorySlot(address: GuestAddress(0), memory: memory, byteCount: UInt64(byteCount)))
    if hasInterruptController { try machine.createInterruptController() }
    var cpus: [VirtualCPU] = []
    for index in 0..<cpuCount { cpus.append(try machine.makeCPU(index)) }
    self.cpus = cpus
  }

  /// Runs a script on a CPU to its end.
  ///
  /// - Parameters:
  ///   - index: the CPU's number. The calling thread runs it.
  ///   - handler: what each exit is given to, but for the one at the script's end. It completes
  ///     reads, and answers whether to go on.
  /// - Returns: how the script ended; nil when the handler ended it.
  /// - Throws: a `KVMError`, with `EINVAL` or `E2BIG` also for a script that cannot be encoded.
  @discardableResult
  public func run(
    _ script: AccessScript, cpu index: Int = 0,
    _ handler: (VirtualCPU, VirtualCPUExit) -> Bool
  ) throws(KVMError) -> AccessScriptStatus? {
    let placement = AccessScriptPlacement.standard(cpu: index)
    do { try script.load(into: memory, placement) } catch {
      throw KVMError(.setMemory, error, "the script")
    }
    let cpu = cpus[index]
    try cpu.set32BitFlatMode(placement.registers)
    while true {
      let exit = try cpu.run()
      if case .portWrite(AccessScript.exitPort, let value, _) = exit {
        return AccessScriptStatus(rawValue: UInt32(truncatingIfNeeded: value))
      }
      guard handler(cpu, exit) else { return nil }
    }
  }

  /// The first `count` results of the script that a CPU ran last.
  ///
  /// - Throws: `EINVAL` for more than there is room for, and for a CPU that the machine has not.
  public func results(_ count: Int, cpu: Int = 0) throws(Errno) -> [UInt64] {
    try AccessScript.results(count, in: memory, .standard(cpu: cpu))
  }

  /// How often a CPU has taken a vector, by now; zero for one of the 16 that the machine has not.
  ///
  /// - Throws: nothing where the memory is as the initialiser made it.
  public func interruptCount(vector: UInt8, cpu: Int = 0) throws(Errno) -> UInt32 {
    try AccessScript.interruptCount(vector: vector, in: memory, .standard(cpu: cpu))
  }
}
