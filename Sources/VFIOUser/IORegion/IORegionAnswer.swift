/// Where the response to an interrupted access is kept until its vCPU comes back.
///
/// Guarded by the lock of the `IORegionTurns` that it belongs to.
final class IORegionAnswer: @unchecked Sendable {
  /// How the access went; nil while nothing has come.
  var outcome: IORegionOutcome?
  /// When the wait for the response is over.
  let deadline: MonotonicTime

  init(deadline: MonotonicTime) { self.deadline = deadline }
}
