/// How far one access of one vCPU has come; what `IORegionPort.perform` goes on from after a signal.
///
/// Keep one for each vCPU and use it for one access after the other. It is fresh again when an access
/// has ended.
public struct IORegionProgress: Sendable {
  /// The access's place among those that wait for the port.
  var ticket: UInt64?
  /// Where the response goes when another thread receives it; set once the command is sent and the
  /// wait was interrupted.
  var answer: IORegionAnswer?
  /// When the access's own waits for the device are over; set once a signal has ended one before the
  /// command was sent, so that no number of signals makes the waits longer.
  var deadline: MonotonicTime?

  /// No access is under way.
  public init() {}

  /// Whether an interrupted access waits to be gone on with.
  public var isUnderWay: Bool { isQueued || deadline != nil }

  /// Whether the access has a place at the port, or is in flight.
  @inline(__always)
  var isQueued: Bool { ticket != nil || answer != nil }
}
