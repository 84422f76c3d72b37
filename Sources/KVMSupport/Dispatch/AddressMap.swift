import VFIOUser

/// Who answers what at one moment: immutable, so that vCPUs look things up without a lock.
final class AddressMap: Sendable {
  /// What a range of addresses belongs to.
  enum Target {
    case part(WindowPart, RegionWindow)
    /// A range that goes over a port, and the part whose path that is, if it is one's.
    case region(IORegionAssignment, WindowPart?, RegionWindow?)
    case handler(any GuestAccessHandler)
    case memory(MemorySlot)
  }

  /// A range of addresses: not empty, without overlaps among its like.
  struct Entry: Sendable {
    var start: UInt64
    /// The last address, so that a range may end with the space.
    var last: UInt64
    /// The address to count the target's offsets from.
    var base: UInt64
    var target: Target
    /// Whether a write in it may signal an eventfd.
    var hasEvents = false
  }

  /// A write that signals an eventfd here, and the part that it lies in.
  struct Event: Sendable {
    var event: IOEvent
    var signal: EventDescriptorBox
    var part: WindowPart?
  }

  private let memory: ContiguousArray<Entry>
  private let ports: ContiguousArray<Entry>
  private let memoryEvents: [Event]
  private let portEvents: [Event]

  /// A map in which everything belongs to nobody.
  init() {
    memory = []
    ports = []
    memoryEvents = []
    portEvents = []
  }

  /// Makes a map of entries that do not overlap, ranges that go over ports, and events.
  init(
    _ entries: [GuestSpace: [Entry]], _ regions: [GuestSpace: [Entry]],
    _ events: [GuestSpace: [Event]]
  ) {
    memoryEvents = (events[.memory] ?? []).sorted { $0.event.address < $1.event.address }
    portEvents = (events[.port] ?? []).sorted { $0.event.address < $1.event.address }
    memory = Self.merge(entries[.memory] ?? [], regions[.memory] ?? [], memoryEvents)
    ports = Self.merge(entries[.port] ?? [], regions[.port] ?? [], portEvents)
  }

  /// Lays the ranges that go over ports over everything but memory.
  private static func merge(
    _ entries: [Entry], _ regions: [Entry], _ events: [Event]
  ) -> ContiguousArray<Entry> {
    let entries = entries.sorted { $0.start < $1.start }
    let regions = regions.sorted { $0.start < $1.start }
    let firm = entries.filter(\.isMemory)
    var merged = firm
    merged += entries.filter { !$0.isMemory }.flatMap { $0.cut(around: regions) }
    merged += regions.flatMap { $0.cut(around: firm) }
    merged.sort { $0.start < $1.start }
    for index in merged.indices {
      let entry = merged[index]
      let first = events.firstIndex(from: { $0.event.address.rawValue >= entry.start })
      merged[index].hasEvents =
        first < events.count && events[first].event.address.rawValue <= entry.last
    }
    return ContiguousArray(merged)
  }

  // MARK: Looking up

  /// What an address belongs to, or how many bytes from there belong to nobody.
  enum Finding {
    case entry(Int)
    case nobody(UInt64)
  }

  @inline(__always)
  func find(_ space: GuestSpace, _ address: UInt64) -> Finding {
    let entries = space == .memory ? memory : ports
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) >> 1
      if entries[middle].last >= address { high = middle } else { low = middle + 1 }
    }
    guard low < entries.count else { return .nobody(.max) }
    let start = entries[low].start
    return start <= address ? .entry(low) : .nobody(start - address)
  }

  @inline(__always)
  func entry(_ space: GuestSpace, _ index: Int) -> Entry {
    space == .memory ? memory[index] : ports[index]
  }

  @inline(__always)
  func hasEvents(_ space: GuestSpace, _ index: Int) -> Bool {
    space == .memory ? memory[index].hasEvents : ports[index].hasEvents
  }

  /// The event that takes a write.
  func event(for access: GuestAccess, value: UInt64) -> Event? {
    let events = access.space == .memory ? memoryEvents : portEvents
    var index = events.firstIndex(from: { $0.event.address >= access.address })
    while index < events.count, events[index].event.address == access.address {
      if events[index].event.matches(access.address, value, byteCount: access.byteCount) {
        return events[index]
      }
      index += 1
    }
    return nil
  }
}

extension AddressMap.Entry {
  /// Whether the guest reaches it without an exit, where there is a hypervisor.
  fileprivate var isMemory: Bool {
    switch target {
    case .memory: true
    case .part(let part, _): part.part.path == .mapped
    case .region, .handler: false
    }
  }

  /// What remains of the range beside others, which are in order.
  fileprivate func cut(around others: [AddressMap.Entry]) -> [AddressMap.Entry] {
    var pieces: [AddressMap.Entry] = []
    var rest = self
    for other in others[others.firstIndex(from: { $0.last >= start })...] {
      guard other.start <= last else { break }
      if other.start > rest.start {
        var piece = rest
        piece.last = other.start - 1
        pieces.append(piece)
      }
      guard other.last < last else { return pieces }
      rest.start = other.last + 1
    }
    pieces.append(rest)
    return pieces
  }
}
