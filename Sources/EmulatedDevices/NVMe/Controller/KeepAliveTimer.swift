import DeviceModel

/// Keep Alive: a driver that has asked for it, and then is silent for too long, has died.
///
/// Threads: confined to the device's loop.
///
/// Source: NVMe 1.4, section 7.12.
final class KeepAliveTimer {
  /// Keep Alive Support (KAS), in units of 100 ms: what timeouts are rounded up to.
  static let granularity: UInt16 = 10
  private static let stepMilliseconds = UInt32(granularity) * 100
  /// What a command that has arrived in time, but not been looked at yet, is given.
  private static let grace = Duration.milliseconds(100)

  /// Keep Alive Timeout (KATO) in milliseconds, a multiple of the granularity; 0 for no timer.
  private(set) var timeout: UInt32 = 0
  private unowned let function: PCIFunction
  private let onExpiry: () -> Void
  private var work: ScheduledWork?

  init(_ function: PCIFunction, onExpiry: @escaping () -> Void) {
    self.function = function
    self.onExpiry = onExpiry
  }

  /// Takes a new timeout in milliseconds, which is rounded up.
  func set(_ milliseconds: UInt32) {
    let step = Self.stepMilliseconds
    let (sum, overflow) = milliseconds.addingReportingOverflow(step - 1)
    timeout = (overflow ? .max : sum) / step * step
    restart()
  }

  /// The driver lives, or could not tell.
  func restart() {
    work?.cancel()
    work = nil
    guard timeout > 0 else { return }
    wait(.milliseconds(Int(timeout))) { [weak self] in
      // A loop that was busy elsewhere takes the commands up first that have arrived meanwhile.
      self?.wait(Self.grace) { self?.expire() }
    }
  }

  /// Ends the timer, until there is a new timeout.
  func stop() { set(0) }

  private func wait(_ delay: Duration, _ action: @escaping () -> Void) {
    work = function.after(delay, action)
  }

  private func expire() {
    work = nil
    onExpiry()
  }
}
