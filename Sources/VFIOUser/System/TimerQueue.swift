import CVFIOUserLinux

/// The timers of one loop, over one timerfd that is armed for the earliest of them.
struct TimerQueue: ~Copyable {
  private struct Entry {
    let token: TimerToken
    let deadline: MonotonicTime
    let work: () -> Void
  }

  private let timer: OwnedDescriptor
  /// Latest first, so that due timers leave at the end. Devices have a handful at most.
  private var entries: [Entry] = []
  private var nextNumber: UInt64 = 0
  private var armed: MonotonicTime?

  init() throws(Errno) {
    let raw = try Errno.check(
      timerfd_create(CLOCK_MONOTONIC, CInt(TFD_CLOEXEC | TFD_NONBLOCK)))
    timer = OwnedDescriptor(adopting: raw)
  }

  var descriptor: CInt { timer.rawValue }

  mutating func add(at deadline: MonotonicTime, _ work: @escaping () -> Void) -> TimerToken {
    nextNumber += 1
    let token = TimerToken(number: nextNumber)
    let place = entries.firstIndex { $0.deadline <= deadline } ?? entries.count
    entries.insert(Entry(token: token, deadline: deadline, work: work), at: place)
    arm()
    return token
  }

  mutating func remove(_ token: TimerToken) {
    entries.removeAll { $0.token == token }
    arm()
  }

  /// Takes all of them out, without running one.
  mutating func removeAll() -> [() -> Void] {
    let work = entries.map(\.work)
    entries = []
    arm()
    return work
  }

  /// The descriptor fired: take its count, so that it does not fire again for the same deadline.
  mutating func acknowledge() {
    var count: UInt64 = 0
    // Safety: the kernel writes the eight bytes of a local variable.
    _ = unsafe read(timer.rawValue, &count, 8)
    armed = nil
  }

  /// Takes out the timers that are due, earliest first, for the loop to run.
  ///
  /// Work may add timers: those run in a later turn even when they are due at once.
  mutating func takeDue() -> [() -> Void] {
    guard let last = entries.last else { return [] }
    let now = MonotonicTime.now
    var due: [() -> Void] = []
    if last.deadline <= now {
      while let entry = entries.last, entry.deadline <= now {
        due.append(entry.work)
        entries.removeLast()
      }
    }
    arm()
    return due
  }

  private mutating func arm() {
    let wanted = entries.last?.deadline
    guard wanted != armed else { return }
    armed = wanted
    var setting = itimerspec()
    if let wanted {
      setting.it_value.tv_sec = Int(wanted.nanoseconds / 1_000_000_000)
      setting.it_value.tv_nsec = max(1, Int(wanted.nanoseconds % 1_000_000_000))
    }
    // Safety: the kernel reads one local structure.
    _ = unsafe timerfd_settime(timer.rawValue, CInt(TFD_TIMER_ABSTIME), &setting, nil)
  }
}
