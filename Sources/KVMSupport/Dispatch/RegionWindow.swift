import Synchronization
import VFIOUser

/// One region of a device that can be placed in an address space: a BAR.
///
/// Threads: any.
public final class RegionWindow: @unchecked Sendable {
  /// A range of the region, as offsets in bytes, that the monitor answers itself.
  public struct Intercept: Sendable {
    /// Which bytes of the region.
    public var range: Range<UInt64>
    /// Who answers; its offsets count from the start of the range.
    public var handler: any GuestAccessHandler

    /// Makes an intercept.
    public init(_ range: Range<UInt64>, _ handler: any GuestAccessHandler) {
      self.range = range
      self.handler = handler
    }
  }

  /// How often each mechanism handled an access to a part.
  public struct Usage: Sendable {
    /// The part.
    public var part: RegionPart
    /// The mechanisms that were used. What a hypervisor handled by itself is not seen.
    public var counts: [AccessMechanism: Int]
  }

  /// Where messages go.
  public let region: any DeviceRegion
  private let intercepts: [Intercept]
  /// What must be looked after once the region has answered a message.
  let changes: (any PendingReplans)?

  /// Guarded by `lock`, as everything below. Lock order: an address space's, then this one.
  private var currentLayout: WindowLayout
  private var placementFallbacks: [RegionFallback] = []
  /// Of the plan before the present one, where accesses that had begun still count.
  private var formerCounters: [MechanismCounters] = []
  /// Of the plans before both.
  private var formerCounts: [AccessMechanism: Int] = [:]
  private var reported: Set<ClientError.Code> = []
  /// Whether something is in `reported` that an answer takes out; changed with the lock held. A hint for
  /// who holds no lock, and who may come a moment late.
  private let isFailing = Atomic<Bool>(false)
  /// How many messages have failed; changed with the lock held.
  private let failures = Atomic<Int>(0)
  private let lock = ConditionLock()

  /// Makes a window that is placed nowhere yet.
  ///
  /// - Parameters:
  ///   - region: the region, for messages.
  ///   - plan: how its parts are reached.
  ///   - intercepts: what the monitor answers itself (the MSI-X table); such a range is taken out of
  ///     the plan, and what lies outside of the region is ignored.
  public convenience init(
    region: any DeviceRegion, plan: RegionPlan, intercepts: [Intercept] = []
  ) {
    self.init(region: region, plan: plan, intercepts: intercepts, changes: nil)
  }

  init(
    region: any DeviceRegion, plan: RegionPlan, intercepts: [Intercept],
    changes: (any PendingReplans)?
  ) {
    self.region = region
    self.intercepts = intercepts
    self.changes = changes
    currentLayout = WindowLayout(plan, region, intercepts)
  }

  /// Makes a window on a region of a client; its messages are messages also where it is mapped.
  public convenience init(
    region: ClientRegion, plan: RegionPlan, intercepts: [Intercept] = []
  ) {
    self.init(region: region, plan: plan, intercepts: intercepts, changes: nil)
  }

  convenience init(
    region: ClientRegion, plan: RegionPlan, intercepts: [Intercept], changes: (any PendingReplans)?
  ) {
    self.init(
      region: region.withoutMappings as any DeviceRegion, plan: plan, intercepts: intercepts,
      changes: changes)
  }

  /// The length in bytes.
  public var byteCount: UInt64 { region.info.byteCount }

  /// The parts, and how often each was used since the window got its plan.
  public var usage: [Usage] {
    layout.parts.map { Usage(part: $0.part, counts: $0.counters.counts) }
  }

  /// How often each mechanism was used before the window got its plan, with the plans before it.
  public var formerUsage: [AccessMechanism: Int] {
    lock.withLock { sumOfFormer() }
  }

  private func sumOfFormer() -> [AccessMechanism: Int] {
    formerCounters.reduce(into: formerCounts) { $0.merge($1.counts, uniquingKeysWith: +) }
  }

  /// The writes that signal eventfds.
  public var events: [RegionEvent] { layout.events }

  /// What is not reached as the server wished, and why: by the plan, or where the window is placed.
  public var fallbacks: [RegionFallback] {
    lock.withLock { currentLayout.fallbacks + placementFallbacks }
  }

  // MARK: For the address space

  var layout: WindowLayout { lock.withLock { currentLayout } }

  func adopt(_ plan: RegionPlan) {
    let layout = WindowLayout(plan, region, intercepts)
    lock.withLock {
      formerCounts = sumOfFormer()
      formerCounters = currentLayout.parts.map(\.counters)
      currentLayout = layout
      placementFallbacks = []
      reported = []
      isFailing.store(false, ordering: .relaxed)
    }
  }

  func note(placement fallbacks: [RegionFallback]) {
    lock.withLock { placementFallbacks = fallbacks }
  }

  /// Whether a failure of the region's messages is worth an event: true once for each kind, until the
  /// device answers again.
  func isNews(_ error: ClientError) -> Bool {
    // A device that refuses an access answers for itself.
    guard error.code != .rejected, error.code != .shortTransfer else { return false }
    return lock.withLock {
      if error.code != .memoryLost {
        isFailing.store(true, ordering: .relaxed)
        failures.wrappingAdd(1, ordering: .relaxed)
      }
      return reported.insert(error.code).inserted
    }
  }

  /// How many messages have failed so far; for `noteAnswer(since:)`.
  @inline(__always)
  var failureCount: Int { failures.load(ordering: .relaxed) }

  /// A message was answered: the next failure is news again. Lost memory does not come back by that.
  ///
  /// - Parameter count: the failures when the message was sent. An answer from before the last one, which
  ///   is only told of now, says nothing of the time after it.
  @inline(__always)
  func noteAnswer(since count: Int) {
    guard isFailing.load(ordering: .relaxed) else { return }
    lock.withLock {
      guard failures.load(ordering: .relaxed) == count else { return }
      reported = reported.filter { $0 == .memoryLost }
      isFailing.store(false, ordering: .relaxed)
    }
  }
}
