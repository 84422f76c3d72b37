import NVMe
import VFIOUser

/// A load on queue pairs: commands of one size, so many in flight at a time.
///
/// Threads: one.
public struct NVMeLoad: Sendable {
  /// What the commands do.
  public enum Pattern: String, Sendable, CaseIterable {
    /// Reads at random places.
    case randomRead = "randread"
    /// Writes at random places.
    case randomWrite = "randwrite"
    /// Reads in a row.
    case read
    /// Writes in a row.
    case write
  }

  /// What came of it.
  public struct Outcome: Sendable {
    /// How many commands have ended.
    public var commandCount: UInt64 = 0
    /// How many of them failed.
    public var errorCount: UInt64 = 0
    /// How long it took, in nanoseconds.
    public var nanoseconds: UInt64 = 0
    /// How long single commands took; one of sixteen is timed where there are many in flight.
    public var latencies = LatencyHistogram()

    /// Commands a second.
    public var rate: Double {
      nanoseconds == 0 ? 0 : Double(commandCount) * 1e9 / Double(nanoseconds)
    }
  }

  /// What the commands do.
  public var pattern: Pattern = .randomRead
  /// The size of a command in bytes; a multiple of the block size.
  public var byteCount = 4096
  /// How many commands are in flight on each pair; each pair has room for one more entry at least.
  public var depth = 1
  /// How long to go on.
  public var duration: Duration = .seconds(2)
  /// After how many commands to stop; nil for none.
  public var commandLimit: UInt64?

  /// Makes a load of the default kind.
  public init() {}

  /// Runs the load on all pairs by turns.
  ///
  /// - Parameter buffers: one for each command in flight, `depth` times the number of pairs.
  /// - Throws: `invalidArgument` when the sizes do not fit together; `timedOut` when commands have not
  ///   ended ten seconds after the load's duration; as ``NVMeQueuePair/reap(into:timeout:)``.
  public func run(
    _ namespace: NVMeNamespaceInfo, on pairs: [NVMeQueuePair], buffers: [NVMeBuffer]
  ) throws(NVMeDriverError) -> Outcome {
    let blocks = byteCount / namespace.blockByteCount
    let places = namespace.blockCount / UInt64(max(blocks, 1))
    guard blocks > 0, byteCount % namespace.blockByteCount == 0, places > 0,
      buffers.count >= depth * pairs.count
    else {
      throw NVMeDriverError(
        .invalidArgument,
        "commands of \(byteCount) bytes do not fit blocks of \(namespace.blockByteCount)")
    }
    var template = namespace.command(
      pattern == .randomRead || pattern == .read ? .read : .write)
    template.blockCount = blocks
    let addresses = buffers.map(\.address)
    var outcome = Outcome()
    var random = Random(state: 0x9e37_79b9_7f4a_7c15)
    var next: UInt64 = 0
    var started = [UInt64](repeating: 0, count: buffers.count)
    var submitted: UInt64 = 0
    var ended: [NVMeCompletion] = []
    ended.reserveCapacity(depth)
    // Looking at the clock costs as much as a command: with many in flight one of sixteen is timed.
    let sampling: UInt64 = depth > 4 ? 15 : 0
    let start = MonotonicTime.now.nanoseconds
    let deadline =
      start + UInt64(duration.components.seconds) * 1_000_000_000
      + UInt64(duration.components.attoseconds / 1_000_000_000)

    func submit(_ slot: Int, _ pair: NVMeQueuePair) throws(NVMeDriverError) {
      var entry = template
      let place: UInt64
      switch pattern {
      case .randomRead, .randomWrite: place = random.next(below: places)
      case .read, .write:
        place = next
        next = next + 1 == places ? 0 : next + 1
      }
      entry.startingBlock = place &* UInt64(blocks)
      started[slot] = submitted & sampling == 0 ? MonotonicTime.now.nanoseconds : 0
      submitted &+= 1
      try pair.submit(entry, data: addresses[slot], byteCount: byteCount, tag: slot)
    }

    let limit = commandLimit ?? .max
    var left = 0
    for (index, pair) in pairs.enumerated() {
      for slot in 0..<depth where submitted < limit {
        try submit(index * depth + slot, pair)
        left += 1
      }
      try pair.ring()
    }
    var idle = 0
    var rounds = 0
    var isOver = false
    while left > 0 {
      var found = false
      for pair in pairs {
        ended.removeAll(keepingCapacity: true)
        guard try pair.reap(into: &ended) > 0 else { continue }
        found = true
        for completion in ended {
          if !completion.status.isSuccess { outcome.errorCount &+= 1 }
          let begun = started[completion.tag]
          if begun != 0 { outcome.latencies.record(MonotonicTime.now.nanoseconds &- begun) }
          outcome.commandCount &+= 1
          if isOver || submitted >= limit {
            left -= 1
          } else {
            try submit(completion.tag, pair)
          }
        }
        try pair.ring()
      }
      rounds &+= 1
      if !isOver, rounds & 15 == 0 || !found {
        if MonotonicTime.now.nanoseconds >= deadline { isOver = true }
      }
      guard !found else {
        idle = 0
        continue
      }
      idle += 1
      if idle % 65_536 == 0 {
        try pairs[0].checkConnection()
        guard MonotonicTime.now.nanoseconds < deadline + 10_000_000_000 else {
          throw NVMeDriverError(.timedOut, "\(left) commands")
        }
      }
      pairs[0].pause()
    }
    outcome.nanoseconds = MonotonicTime.now.nanoseconds - start
    return outcome
  }

  /// Numbers that look random and are the same each time (xorshift64*).
  struct Random {
    var state: UInt64

    mutating func next(below limit: UInt64) -> UInt64 {
      state ^= state >> 12
      state ^= state << 25
      state ^= state >> 27
      return (state &* 0x2545_f491_4f6c_dd1d).multipliedFullWidth(by: limit).high
    }
  }
}
