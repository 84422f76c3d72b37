/// A CPU of a machine: KVM's, or one in software that replays a script.
///
/// Threads: ``run(_:)`` is called once, on a thread of its own; ``stop()`` on any.
public protocol GuestCPU: AnyObject, Sendable {
  /// Runs until the CPU cannot go on, or is stopped. Accesses go to the machine's address space.
  func run(_ space: AddressSpace) -> GuestCPUEnding

  /// Ends the run in progress, or a later one at once. An access that waits for a device is given up.
  func stop()
}

/// Why a CPU does not run any more.
public enum GuestCPUEnding: Hashable, Sendable {
  /// It wrote this to the exit port.
  case exited(UInt32)
  /// The guest halted it, and no interrupt can wake it.
  case halted
  /// It was stopped.
  case stopped
  /// It failed in handling a failure (a triple fault).
  case shutdown
  /// It cannot go on, for this reason.
  case failed(String)
}
