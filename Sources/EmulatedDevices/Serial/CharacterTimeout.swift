import DeviceModel

/// Tells when characters have waited for a while without another coming or going.
///
/// The timer is not set anew for each character: when it runs out it looks how long ago the last was.
final class CharacterTimeout {
  var onTimeout: () -> Void = {}
  private let clock: DeviceClock
  private var deadline: MonotonicTime?
  private var cancellation: DeviceClock.Cancellation?

  init(clock: DeviceClock) { self.clock = clock }

  func restart(after delay: Duration) {
    deadline = MonotonicTime.now.advanced(by: delay)
    if cancellation == nil { wait(delay) }
  }

  /// No characters wait. A timer that runs on does nothing.
  func cancel() {
    deadline = nil
    cancellation?()
    cancellation = nil
  }

  private func wait(_ delay: Duration) {
    cancellation = clock.after(delay) { [weak self] in self?.elapsed() }
  }

  private func elapsed() {
    cancellation = nil
    guard let deadline else { return }
    let now = MonotonicTime.now
    guard now < deadline else {
      self.deadline = nil
      return onTimeout()
    }
    wait(.nanoseconds(Int64(deadline.nanoseconds - now.nanoseconds)))
  }
}
