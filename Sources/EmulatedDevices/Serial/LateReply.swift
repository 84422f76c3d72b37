import DeviceModel

/// A register read that is answered when something has changed, or when it has waited long enough.
final class LateReply {
  /// The register's value at the time of the answer; asked once for each.
  var value: () -> UInt64 = { 0 }
  private let clock: DeviceClock
  private let longestWait: Duration
  private var reply: DeferredRegisterReply?
  private var cancellation: DeviceClock.Cancellation?

  init(clock: DeviceClock, longestWait: Duration) {
    self.clock = clock
    self.longestWait = longestWait
  }

  /// Holds the answer to `access` back.
  ///
  /// - Returns: false where it must be answered at once: another waits already, or this one cannot.
  func hold(_ access: RegisterEffect) -> Bool {
    guard reply == nil, longestWait > .zero, let reply = access.deferReply() else { return false }
    self.reply = reply
    cancellation = clock.after(longestWait) { [weak self] in self?.answerNow() }
    return true
  }

  /// Answers what waits, if anything does.
  func answerNow() {
    guard let reply else { return }
    cancel()
    reply.complete(value: value())
  }

  /// Forgets what waits: a reset has made it void.
  func cancel() {
    cancellation?()
    cancellation = nil
    reply = nil
  }
}
