import CKVMLinux

/// The general registers of a 32-bit CPU.
public struct CPURegisters: Hashable, Sendable {
  /// The next instruction (EIP).
  public var instruction: UInt32
  /// The stack's top (ESP).
  public var stack: UInt32
  /// Accumulator.
  public var eax: UInt32 = 0
  /// Base.
  public var ebx: UInt32 = 0
  /// Counter.
  public var ecx: UInt32 = 0
  /// Data.
  public var edx: UInt32 = 0
  /// Source index.
  public var esi: UInt32 = 0
  /// Destination index.
  public var edi: UInt32 = 0
  /// Base pointer.
  public var ebp: UInt32 = 0

  /// Registers that are zero but for these two.
  public init(instruction: UInt32, stack: UInt32) {
    self.instruction = instruction
    self.stack = stack
  }

  init(_ raw: ckvm_registers) {
    instruction = raw.eip
    stack = raw.esp
    (eax, ebx, ecx, edx) = (raw.eax, raw.ebx, raw.ecx, raw.edx)
    (esi, edi, ebp) = (raw.esi, raw.edi, raw.ebp)
  }

  var raw: ckvm_registers {
    ckvm_registers(
      eax: eax, ebx: ebx, ecx: ecx, edx: edx, esi: esi, edi: edi, ebp: ebp, esp: stack,
      eip: instruction)
  }
}
