/// What a client has told its server and what a new server must be told again: memory and interrupts,
/// in the order in which they were set up.
struct SessionLedger {
  /// A range of memory that the device may reach.
  struct Grant {
    enum Source {
      case shared(SharedMemory)
      case file(ArmedDescriptor, offset: UInt64)
      case hidden(any ClientMemory)
    }

    let address: DMAAddress
    let byteCount: UInt64
    let rights: DMARights
    let source: Source

    func map(on client: DeviceClient) throws(ClientError) {
      switch source {
      case .shared(let memory): try client.mapMemory(memory, at: address, rights: rights)
      case .file(let descriptor, let offset):
        try client.mapMemory(
          descriptor: descriptor.rawValue, fileOffset: offset, byteCount: byteCount, at: address,
          rights: rights)
      case .hidden(let memory):
        try client.mapPrivateMemory(memory, at: address, rights: rights)
      }
    }
  }

  /// One interrupt's descriptors and its mask.
  struct Line {
    var events: [SetIRQs.Action: ArmedDescriptor] = [:]
    var isMasked = false
    /// Whether its eventfd is signalled as soon as it is unmasked.
    var isOwed = false

    var isEmpty: Bool { events.isEmpty && !isMasked }
  }

  private(set) var grants: [Grant] = []
  private(set) var lines: [Int: [Int: Line]] = [:]

  // MARK: Memory

  mutating func add(_ grant: Grant) { grants.append(grant) }

  mutating func removeGrant(at address: DMAAddress, byteCount: UInt64) {
    grants.removeAll { $0.address == address && $0.byteCount == byteCount }
  }

  /// The grants that a later state of the same ledger has not got any more.
  func grants(missingFrom later: SessionLedger) -> [Grant] {
    grants.filter { grant in
      !later.grants.contains {
        $0.address == grant.address && $0.byteCount == grant.byteCount
      }
    }
  }

  // MARK: Interrupts

  mutating func assign(
    _ events: [ArmedDescriptor], index: Int, start: Int, action: SetIRQs.Action
  ) {
    for (place, event) in events.enumerated() {
      lines[index, default: [:]][start + place, default: Line()].events[action] = event
    }
  }

  mutating func release(index: Int, start: Int, count: Int, action: SetIRQs.Action) {
    change(index, start, count, nil) { $0.events[action] = nil }
  }

  mutating func disable(index: Int) { lines[index] = nil }

  /// - Parameter flags: which of the range; nil for all.
  mutating func mask(index: Int, start: Int, count: Int, where flags: [Bool]?) {
    for place in 0..<max(0, count) where flags?[place] ?? true {
      lines[index, default: [:]][start + place, default: Line()].isMasked = true
    }
  }

  /// Returns the eventfds that are owed a signal.
  mutating func unmask(
    index: Int, start: Int, count: Int, where flags: [Bool]?
  ) -> [ArmedDescriptor] {
    var owed: [ArmedDescriptor] = []
    change(index, start, count, flags) { line in
      line.isMasked = false
      if line.isOwed, let event = line.events[.trigger] { owed.append(event) }
      line.isOwed = false
    }
    return owed
  }

  private mutating func change(
    _ index: Int, _ start: Int, _ count: Int, _ flags: [Bool]?, _ body: (inout Line) -> Void
  ) {
    guard var table = lines[index] else { return }
    for (vector, var line) in table where vector >= start && vector - start < count {
      guard flags?[vector - start] ?? true else { continue }
      body(&line)
      table[vector] = line.isEmpty ? nil : line
    }
    lines[index] = table.isEmpty ? nil : table
  }

  // MARK: A new server

  /// Tells a server everything.
  ///
  /// - Throws: the first refusal, or what ended the connection.
  func restore(on client: DeviceClient) throws(ClientError) {
    for grant in grants { try grant.map(on: client) }
    for (index, table) in lines.sorted(by: { $0.key < $1.key }) {
      let masked = table.filter { $0.value.isMasked }.keys.sorted()
      // Masks first, so that nothing is delivered that must not be; a server that takes masks only of
      // interrupts that are armed gets them afterwards.
      var late: [Range<Int>] = []
      for run in Self.runs(masked) {
        do throws(ClientError) {
          try client.maskInterrupts(index: index, start: run.lowerBound, count: run.count)
        } catch {
          guard error.code == .rejected else { throw error }
          late.append(run)
        }
      }
      for action in [SetIRQs.Action.mask, .unmask, .trigger] {
        let armed = table.filter { $0.value.events[action] != nil }.keys.sorted()
        for run in Self.runs(armed) {
          try client.assignInterrupts(
            index: index, start: run.lowerBound,
            descriptors: run.compactMap { table[$0]?.events[action]?.rawValue }, action: action)
        }
      }
      for run in late {
        try client.maskInterrupts(index: index, start: run.lowerBound, count: run.count)
      }
    }
  }

  /// Signals each interrupt that is armed, now or when it is unmasked.
  mutating func signalAll() {
    for index in lines.keys {
      for vector in lines[index, default: [:]].keys {
        guard let line = lines[index]?[vector], let event = line.events[.trigger] else { continue }
        if line.isMasked { lines[index]?[vector]?.isOwed = true } else { event.signal() }
      }
    }
  }

  /// Ascending numbers as ranges without gaps.
  static func runs(_ numbers: [Int]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for number in numbers {
      if let last = runs.last, last.upperBound == number {
        runs[runs.count - 1] = last.lowerBound..<(number + 1)
      } else {
        runs.append(number..<(number + 1))
      }
    }
    return runs
  }
}
