/// What a guest does.
public enum GuestSource: Hashable, Sendable {
  /// A program, which every CPU begins at its first byte.
  ///
  /// It begins in 32-bit protected mode without paging, with interrupts disabled, and with EAX the number
  /// of the CPU, EBX how many there are, ECX the memory's length in bytes and ESP a stack of 16 KiB (at
  /// the memory's end, one for each CPU).
  case image(GuestImage)
  /// A script for each CPU; CPUs beyond them do nothing.
  case scripts([AccessScript])

  /// The stack of each CPU of an image, in bytes.
  static let stackByteCount: UInt64 = 16 << 10

  /// Whether the first CPU that exits ends the guest.
  var endsWithFirstCPU: Bool {
    if case .image = self { return true }
    return false
  }

  /// How many of a machine's CPUs do something.
  func cpuCount(of count: Int) -> Int {
    if case .scripts(let scripts) = self { return scripts.count }
    return count
  }

  /// What a CPU begins with.
  func registers(cpu: Int, _ options: MachineOptions) -> CPURegisters {
    switch self {
    case .scripts: return AccessScriptPlacement.standard(cpu: cpu).registers
    case .image(let image):
      let top = options.memoryByteCount - UInt64(cpu) * Self.stackByteCount
      var registers = CPURegisters(
        instruction: UInt32(truncatingIfNeeded: image.address.rawValue),
        stack: UInt32(truncatingIfNeeded: top))
      registers.eax = UInt32(cpu)
      registers.ebx = UInt32(options.cpuCount)
      registers.ecx = UInt32(truncatingIfNeeded: options.memoryByteCount)
      return registers
    }
  }
}
