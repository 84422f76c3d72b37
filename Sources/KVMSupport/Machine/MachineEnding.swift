/// Why a machine does not run any more.
public enum MachineEnding: Hashable, Sendable, CustomStringConvertible {
  /// The guest wrote this to the exit port.
  case exited(UInt32)
  /// Every CPU has halted, and no interrupt can wake one.
  case halted
  /// ``Machine/stop()`` was called.
  case stopped
  /// A CPU failed in handling a failure (a triple fault).
  case shutdown(cpu: Int)
  /// A CPU cannot go on, for this reason.
  case failed(cpu: Int, String)

  /// A few words.
  public var description: String {
    switch self {
    case .exited(let status): "the guest exited with \(status)"
    case .halted: "the guest halted"
    case .stopped: "the guest was stopped"
    case .shutdown(let cpu): "CPU \(cpu) of the guest failed and shut down"
    case .failed(let cpu, let reason): "CPU \(cpu) of the guest failed: \(reason)"
    }
  }
}
