/// The monitor's end of a descriptor that carries accesses: an ioregionfd, or a mailbox.
///
/// One access is in flight at a time, whoever shares the port: vCPUs, regions, machines. Who comes
/// first is served first. No wait is endless: a server that is silent for too long, that says what
/// the protocol does not allow, or that is gone fails the access, and the port is closed with it.
///
/// Threads: any; `perform` blocks the calling one.
/// Source: the ioregionfd design, "Ordering", "Signals", "Multi-queue scalability".
public protocol IORegionPort: AnyObject, Sendable {
  /// Carries one access out on the calling thread, and waits for its response where it wants one.
  ///
  /// `.interrupted` says that a signal ended the wait: call again with the same command and the same
  /// `progress` to go on with the same access. It is never sent twice. Progress that is dropped
  /// instead leaves an access behind whose response goes to nobody. A port that waits for the device
  /// without sleeping notices no signal meanwhile; its type says so.
  /// - Parameter progress: fresh, or what an interrupted call left. One thread at a time.
  func perform(
    _ command: IORegionCommand, _ progress: inout IORegionProgress
  ) -> IORegionOutcome

  /// Whether accesses can be carried out: false once the server closed its end or misbehaved.
  ///
  /// It may cost a system call.
  var isOpen: Bool { get }

  /// Gives the port up: accesses in flight and later ones fail. Closing again does nothing.
  func close()
}
