import VFIOUser

/// Work that a device has asked for at a later time.
///
/// Confined to the function's loop.
public final class ScheduledWork {
  private var work: (() -> Void)?
  private var token: TimerToken?
  private let loop: EventLoop
  fileprivate let identifier: UInt64

  fileprivate init(loop: EventLoop, identifier: UInt64, _ work: @escaping () -> Void) {
    self.loop = loop
    self.identifier = identifier
    self.work = work
  }

  /// Whether the work is still to be done.
  public var isWaiting: Bool { work != nil }

  /// Takes the work back; it will not run. Does nothing when it ran already.
  public func cancel() {
    work = nil
    if let token { loop.cancel(token) }
    token = nil
  }

  fileprivate func start(after delay: Duration, _ fire: @escaping (ScheduledWork) -> Void) {
    token = loop.schedule(after: delay) { [weak self] in
      guard let self else { return }
      token = nil
      fire(self)
    }
  }

  fileprivate func run() {
    guard let work else { return }
    self.work = nil
    work()
  }
}

/// A function's clock: work for later, which waits while the function is quiet.
final class PCIScheduler {
  private let loop: EventLoop
  private var waiting: [UInt64: ScheduledWork] = [:]
  /// Work whose time came while the function was quiet, in that order.
  private var due: [ScheduledWork] = []
  private var next: UInt64 = 0
  private(set) var isPaused = false

  init(loop: EventLoop) { self.loop = loop }

  func schedule(after delay: Duration, _ work: @escaping () -> Void) -> ScheduledWork {
    next += 1
    let scheduled = ScheduledWork(loop: loop, identifier: next, work)
    waiting[next] = scheduled
    scheduled.start(after: delay) { [weak self] in self?.fire($0) }
    return scheduled
  }

  private func fire(_ work: ScheduledWork) {
    waiting[work.identifier] = nil
    if isPaused { due.append(work) } else { work.run() }
  }

  func pause() { isPaused = true }

  func resume() {
    isPaused = false
    let due = due
    self.due = []
    for (index, work) in due.enumerated() {
      // What runs may make the function quiet again.
      if isPaused {
        self.due.append(contentsOf: due[index...])
        return
      }
      work.run()
    }
  }

  func cancelAll() {
    for work in waiting.values { work.cancel() }
    for work in due { work.cancel() }
    waiting = [:]
    due = []
  }
}
