import VFIOUser

/// How a device core that knows no bus asks for work at a later time.
///
/// The bus decides what time is: a PCI function's clock stands still while the function is quiet.
///
/// Threads: confined to the loop of the device.
public struct DeviceClock {
  /// Takes the work back; does nothing when it has run.
  public typealias Cancellation = () -> Void

  private let schedule: (Duration, @escaping () -> Void) -> Cancellation

  /// A clock that a bus provides: it runs the work once, and gives a way to take it back.
  public init(_ schedule: @escaping (Duration, @escaping () -> Void) -> Cancellation) {
    self.schedule = schedule
  }

  /// The time of an event loop.
  public init(loop: EventLoop) {
    self.init { [unowned loop] delay, work in
      let token = loop.schedule(after: delay, work)
      return { [weak loop] in loop?.cancel(token) }
    }
  }

  /// Runs `work` once, `delay` from now or a little later.
  public func after(_ delay: Duration, _ work: @escaping () -> Void) -> Cancellation {
    schedule(delay, work)
  }
}
