/// The pollers of one loop: what a spinning loop calls again and again.
///
/// A round counts no references, so that looking in vain costs next to nothing. A poller may add and
/// remove pollers, itself among them: the round ends with it then.
///
/// Threads: confined to its loop.
@safe
final class PollerTable {
  private final class Poller {
    let token: PollerToken
    let poll: () -> Bool

    init(_ token: PollerToken, _ poll: @escaping () -> Bool) {
      self.token = token
      self.poll = poll
    }
  }

  /// Keeps the pollers that `table` lists.
  private var pollers: [Poller] = []
  /// Removed pollers, one of which may be running.
  private var retired: [Poller] = []
  private var table: UnsafeMutablePointer<Unmanaged<Poller>>
  private var count = 0
  private var isInRound = false
  private var hasChanged = false
  private var next = 0

  init() {
    // Safety: owned storage, replaced as a whole and released by deinit.
    unsafe table = .allocate(capacity: 1)
  }

  deinit {
    // Safety: as above; the entries are of a trivial type.
    unsafe table.deallocate()
  }

  @inline(__always)
  var isEmpty: Bool { count == 0 }

  func add(_ poll: @escaping () -> Bool) -> PollerToken {
    next += 1
    let poller = Poller(PollerToken(number: next), poll)
    pollers.append(poller)
    rebuild()
    return poller.token
  }

  func remove(_ token: PollerToken) {
    guard let place = pollers.firstIndex(where: { $0.token == token }) else { return }
    let poller = pollers.remove(at: place)
    if isInRound { retired.append(poller) }
    rebuild()
  }

  /// Ends all of them; not during a round.
  func removeAll() {
    let removed = pollers
    pollers = []
    rebuild()
    // Released here, when the table is in order: that may remove others.
    _ = consume removed
  }

  /// Calls every poller once. Returns whether one of them found work.
  @inline(__always)
  func round() -> Bool {
    var found = false
    var index = 0
    isInRound = true
    defer { isInRound = false }
    while index < count {
      // Safety: an entry of the table, and `pollers` or `retired` keeps the poller beyond the call.
      if unsafe table[index]._withUnsafeGuaranteedRef({ $0.poll() }) { found = true }
      if hasChanged {
        settle()
        return found
      }
      index &+= 1
    }
    return found
  }

  @inline(never)
  private func settle() {
    hasChanged = false
    retired = []
  }

  private func rebuild() {
    // Safety: as in `init`; the new table has an entry for each poller.
    unsafe table.deallocate()
    unsafe table = .allocate(capacity: max(pollers.count, 1))
    for (index, poller) in pollers.enumerated() {
      unsafe (table + index).initialize(to: Unmanaged.passUnretained(poller))
    }
    count = pollers.count
    hasChanged = isInRound
  }
}
