import Logging

/// Carries out what arrives over the descriptors of one group: parts of one region, on one loop.
///
/// A descriptor reaches the parts that were declared for its group and nothing else, whatever user
/// data its holder makes up.
///
/// Threads: confined to its loop.
final class RegionExecutor: IORegionExecutor {
  /// A part of the region, and what the user data of its accesses is.
  struct Part: Hashable, Sendable {
    /// Where it starts in the region.
    var offset: UInt64
    /// Its length in bytes.
    var byteCount: UInt64
  }

  private let region: HostedRegion
  private let regionIndex: UInt64
  private let loop: EventLoop
  private let logger: Logger
  private var parts: [Part] = []
  /// Called when an endpoint has closed by itself.
  var onClosed: ((any IORegionEndpoint) -> Void)?

  /// The access whose handler runs, for `deferReply`.
  private var current: (any IORegionEndpoint)?
  private var currentByteCount = 0
  /// The number that `deferReply` gave it.
  private var currentSlot: UInt64?
  private var deferred: [UInt64: Deferred] = [:]
  private var nextSlot: UInt64 = 1

  private struct Deferred {
    let endpoint: any IORegionEndpoint
    let generation: UInt64
    let byteCount: Int
    let survivesReset: Bool
  }

  init(_ region: HostedRegion, index: Int, loop: EventLoop, logger: Logger) {
    self.region = region
    regionIndex = UInt64(index)
    self.loop = loop
    self.logger = logger
  }

  /// The user data of part `number` of a region.
  static func userData(region index: Int, part number: Int) -> UInt64 {
    UInt64(index) << 32 | UInt64(number)
  }

  /// Adds the part with the next number.
  func add(_ part: Part) { parts.append(part) }

  // MARK: Accesses

  func execute(_ command: IORegionCommand, from endpoint: any IORegionEndpoint) -> IORegionExecution
  {
    let number = Int(command.userData & 0xffff_ffff)
    guard command.userData >> 32 == regionIndex, number < parts.count else {
      return .refused("a command for a part that it does not serve")
    }
    let part = parts[number]
    let byteCount = command.accessByteCount
    guard UInt64(byteCount) <= part.byteCount,
      command.offset <= part.byteCount - UInt64(byteCount)
    else { return .refused("an access that leaves its part") }
    current = endpoint
    currentByteCount = byteCount
    defer { current = nil }
    let place = RegionOffset(part.offset + command.offset)
    return command.operation == .read
      ? read(at: place, byteCount)
      : write(command.data, at: place, byteCount, isPosted: !command.wantsResponse)
  }

  @inline(__always)
  private func read(at place: RegionOffset, _ byteCount: Int) -> IORegionExecution {
    guard region.rights.contains(.read) else { return .done(Self.allOnes(byteCount)) }
    var bytes: [8 of UInt8] = .init(repeating: 0)
    var elements = bytes.mutableSpan
    // Safety: any bytes are valid elements.
    var span = unsafe elements.mutableBytes
    var failure: Errno?
    do throws(Errno) {
      var data = span._mutatingExtracting(0..<byteCount)
      try region.region.read(
        at: place, into: &data, AccessContext(deferral: self, isPosted: false))
    } catch { failure = error }
    if let slot = takeSlot() {
      // A handler that deferred and then threw has answered after all.
      if let failure { finish(slot, .failed(failure)) }
      return .later
    }
    if failure != nil { return .done(Self.allOnes(byteCount)) }
    // The buffer has eight bytes, so this cannot fail; those past the access are zero.
    return .done((try? span.load(at: 0, as: UInt64.self)) ?? 0)
  }

  @inline(__always)
  private func write(
    _ value: UInt64, at place: RegionOffset, _ byteCount: Int, isPosted: Bool
  ) -> IORegionExecution {
    guard region.rights.contains(.write) else { return .done(0) }
    var bytes: [8 of UInt8] = .init(repeating: 0)
    var elements = bytes.mutableSpan
    // Safety: any bytes are valid elements.
    var span = unsafe elements.mutableBytes
    try? span.store(value, at: 0)
    var failure: Errno?
    do throws(Errno) {
      try region.region.write(
        at: place, from: span.bytes.extracting(0..<byteCount),
        AccessContext(deferral: isPosted ? nil : self, isPosted: isPosted))
    } catch { failure = error }
    guard let slot = takeSlot() else { return .done(0) }
    if let failure { finish(slot, .failed(failure)) }
    return .later
  }

  @inline(__always)
  private func takeSlot() -> UInt64? {
    guard let slot = currentSlot else { return nil }
    currentSlot = nil
    return slot
  }

  private static func allOnes(_ byteCount: Int) -> UInt64 {
    UInt64.max.truncated(toByteCount: byteCount)
  }

  // MARK: Answers that come later

  private func finish(_ slot: UInt64, _ outcome: DeferredOutcome) {
    // Voided, or completed before.
    guard let access = deferred.removeValue(forKey: slot) else { return }
    var value: UInt64 = 0
    switch outcome {
    case .failed: value = Self.allOnes(access.byteCount)
    case .done(let bytes):
      for (index, byte) in bytes.prefix(access.byteCount).enumerated() {
        value |= UInt64(byte) << UInt64(8 * index)
      }
    }
    access.endpoint.respond(value, generation: access.generation)
  }

  /// Answers what waits with all-ones, so that late completions find nothing.
  ///
  /// - Parameter sparesResets: whether an access that itself asked for the reset goes on waiting.
  func voidDeferred(sparesResets: Bool) {
    for slot in deferred.keys.sorted() {
      if sparesResets, deferred[slot]?.survivesReset == true { continue }
      finish(slot, .failed(.canceled))
    }
  }

  /// Lets go of what waits: nobody is there for the answers.
  func forgetDeferred() { deferred = [:] }

  /// Lets go of what waits for an answer over an endpoint that is closed.
  func forgetDeferred(of endpoint: any IORegionEndpoint) {
    guard !deferred.isEmpty else { return }
    deferred = deferred.filter { $0.value.endpoint !== endpoint }
  }

  func endpointClosed(_ endpoint: any IORegionEndpoint, because reason: String?) {
    if let reason { logger.warning("a descriptor of region \(regionIndex) was closed: \(reason)") }
    forgetDeferred(of: endpoint)
    onClosed?(endpoint)
  }
}

extension RegionExecutor: AccessDeferral {
  func deferReply(survivesReset: Bool) -> DeferredReply? {
    guard let endpoint = current, currentSlot == nil else { return nil }
    let slot = nextSlot
    nextSlot += 1
    currentSlot = slot
    deferred[slot] = Deferred(
      endpoint: endpoint, generation: endpoint.generation, byteCount: currentByteCount,
      survivesReset: survivesReset)
    let loop = loop
    let target = LoopConfined(WeakExecutor(self))
    return DeferredReply { outcome in
      if loop.isCurrent {
        target.value.executor?.finish(slot, outcome)
      } else {
        loop.post { target.value.executor?.finish(slot, outcome) }
      }
    }
  }

  private final class WeakExecutor {
    weak var executor: RegionExecutor?
    init(_ executor: RegionExecutor) { self.executor = executor }
  }
}
