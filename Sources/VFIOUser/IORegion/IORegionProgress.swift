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

  /// No access is under way.
  public init() {}

  /// Whether an interrupted access waits to be gone on with.
  public var isUnderWay: Bool { ticket != nil || answer != nil }
}
