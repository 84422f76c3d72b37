/// A region access that was sent and whose reply has not been looked at.
///
/// Look at each exactly once, in any order. One that is never looked at keeps its place until the
/// connection ends, and there are 1024.
public struct PendingReply: Sendable {
  let identity: UInt16
  let command: Command
  let access: RegionAccess
  let deadline: MonotonicTime

  /// How many bytes were asked for or written.
  public var byteCount: Int { Int(access.count) }
}
