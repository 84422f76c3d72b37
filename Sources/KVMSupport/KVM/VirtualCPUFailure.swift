/// Why a virtual CPU cannot go on.
public enum VirtualCPUFailure: Hashable, Sendable, CustomStringConvertible {
  /// The processor does not accept the CPU's state; with the reason that it gave.
  case entry(reason: UInt64)
  /// KVM met something that it cannot do; with its number (1: an instruction that it cannot emulate, where
  /// there is no memory, for instance).
  case internalError(UInt64)
  /// The guest asked for a shutdown, a reset or the like; with the number of the event.
  case systemEvent(UInt64)
  /// An exit that this package does not use; with the kernel's number of the reason.
  case other(UInt64)

  /// In words.
  public var description: String {
    switch self {
    case .entry(let reason):
      "the processor refused the state of the CPU (reason 0x\(String(reason, radix: 16)))"
    case .internalError(1): "KVM cannot emulate an instruction"
    case .internalError(let number): "KVM failed (internal error \(number))"
    case .systemEvent(let number): "the guest raised system event \(number)"
    case .other(let number): "an exit for reason \(number)"
    }
  }
}
