/// What a machine is made of.
public struct MachineOptions: Sendable {
  /// What runs the guest.
  public enum Engine: Sendable, Hashable {
    /// KVM, on the host's processor.
    case kvm
    /// CPUs in software, which replay scripts of accesses.
    case software
  }

  /// What runs the guest.
  public var engine = Engine.kvm
  /// The guest's memory in bytes, from address 0 on: 2 MiB to 3 GiB, in whole pages.
  public var memoryByteCount: UInt64 = 64 << 20
  /// How many CPUs it has, 1 to 64.
  public var cpuCount = 1

  /// Makes the default options.
  public init() {}

  /// Checks the ranges.
  func check() throws(MachineError) {
    guard (2 << 20...3 << 30).contains(memoryByteCount), memoryByteCount % 4096 == 0 else {
      throw MachineError(
        .badOption,
        "a machine has 2 MiB to 3 GiB of memory in whole pages, not \(memoryByteCount) bytes")
    }
    guard (1...64).contains(cpuCount) else {
      throw MachineError(.badOption, "a machine has 1 to 64 CPUs, not \(cpuCount)")
    }
  }
}
