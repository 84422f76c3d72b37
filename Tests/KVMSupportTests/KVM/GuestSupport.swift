import KVMSupport
import Testing
import VFIOUser

/// Where the tests' registers are: no memory is there.
let registers = GuestAddress(0xe000_0000)

extension GuestAddress {
  static func + (address: GuestAddress, offset: UInt64) -> GuestAddress {
    GuestAddress(address.rawValue + offset)
  }
}

/// A script's accesses as the monitor saw them, in order.
struct SeenAccesses {
  var exits: [VirtualCPUExit] = []
  var status: AccessScriptStatus?

  /// Runs a script; each read gets `answer`, all-ones for nil.
  init(
    _ script: [AccessOperation], on machine: AccessScriptMachine, cpu: Int = 0,
    answer: (VirtualCPUExit) -> UInt64? = { _ in nil }
  ) throws {
    var exits: [VirtualCPUExit] = []
    status = try machine.run(AccessScript(script), cpu: cpu) { cpu, exit in
      exits.append(exit)
      switch exit {
      case .memoryRead, .portRead:
        if let value = answer(exit) { cpu.complete(value) }
        return true
      case .memoryWrite, .portWrite, .interrupted: return true
      case .halted, .shutdown, .failed: return false
      }
    }
    self.exits = exits
  }
}

/// The error that a body throws, if it is KVM's.
func kvmError(_ body: () throws -> Void) -> KVMError? {
  do {
    try body()
    return nil
  } catch { return error as? KVMError }
}

/// Tests that need a KVM of the host.
let kvmIsHere = KVM.isAvailable

extension Trait where Self == ConditionTrait {
  /// For tests that need a KVM of the host.
  static var onKVM: Self { .enabled(if: kvmIsHere, "KVM cannot be used here") }
}
