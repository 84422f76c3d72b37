/// A source of work that announces itself only to a loop that sleeps.
///
/// Whoever gives it work looks whether the loop sleeps, and spares the system call where it does not. It
/// has a poller, too, that finds the work while the loop does other things.
///
/// Threads: confined to the loop.
protocol LoopSleeper: AnyObject {
  /// The loop is about to sleep: work has to be announced from now on.
  ///
  /// Says so with a sequentially consistent store. Whoever gives work stores the work and then looks at
  /// what was said, both sequentially consistent as well: one of the two sees the other.
  func willSleep()

  /// Carries out work that came without being announced; its look for it is sequentially consistent.
  ///
  /// - Returns: whether there was some.
  func takeWork() -> Bool

  /// The loop does not sleep any more: work need not be announced.
  func didWake()
}

/// The sleepers of one loop. They may come and go while they are being told something.
///
/// Threads: confined to its loop.
final class SleeperTable {
  private var sleepers: [any LoopSleeper] = []
  /// Whether they have been told that the loop sleeps, and not yet that it has woken.
  private(set) var areAsleep = false

  var isEmpty: Bool { sleepers.isEmpty }

  func add(_ sleeper: any LoopSleeper) { sleepers.append(sleeper) }

  func remove(_ sleeper: any LoopSleeper) {
    sleepers.removeAll { $0 === sleeper }
  }

  /// Tells all that the loop is about to sleep. Returns whether there was work after all.
  func fallAsleep() -> Bool {
    areAsleep = true
    let told = sleepers
    for sleeper in told { sleeper.willSleep() }
    var found = false
    for sleeper in told where sleeper.takeWork() { found = true }
    return found
  }

  /// Tells all that the loop is awake.
  func wake() {
    areAsleep = false
    for sleeper in sleepers { sleeper.didWake() }
  }
}
