import VFIOUser

/// Makes a plan of what a server said, and notes what it cannot use.
struct RegionPlanner {
  private let info: RegionInfo
  /// In order of their offsets, without overlaps.
  private var parts: [RegionPart] = []
  private var events: [RegionEvent] = []
  private var fallbacks: [RegionFallback] = []

  init(_ info: RegionInfo) { self.info = info }

  /// The plan, with messages for what nothing else reaches.
  var plan: RegionPlan {
    var whole: [RegionPart] = []
    var position: UInt64 = 0
    for part in parts {
      if part.offset.rawValue > position {
        whole.append(
          RegionPart(
            offset: position, byteCount: part.offset.rawValue - position, path: .message))
      }
      whole.append(part)
      position = part.end
    }
    if position < info.byteCount {
      whole.append(
        RegionPart(offset: position, byteCount: info.byteCount - position, path: .message))
    }
    return RegionPlan(parts: whole, events: events, fallbacks: fallbacks)
  }

  // MARK: Mapped areas

  mutating func add(areasOf region: ClientRegion) {
    guard info.flags.contains(.mmap), info.byteCount > 0 else { return }
    var areas = [RegionArea(offset: RegionOffset(0), byteCount: info.byteCount)]
    for case .sparseMap(let sparse) in info.capabilities { areas = sparse }
    let mapped = region.mappedAreas
    for area in areas.prefix(RegionPlan.maximumEntryCount) where area.byteCount > 0 {
      add(area, of: region, isMapped: mapped.contains(area))
    }
  }

  private mutating func add(_ area: RegionArea, of region: ClientRegion, isMapped: Bool) {
    let part = RegionPart(
      offset: area.offset.rawValue, byteCount: area.byteCount, path: .mapped)
    guard isInside(area.offset.rawValue, area.byteCount) else {
      return refuse(part, .invalidArgument, "it leaves the region")
    }
    guard isFree(part) else { return refuse(part, .invalidArgument, "it overlaps another part") }
    guard isMapped else { return refuse(part, .noMemory, "it is not mapped here") }
    do {
      var part = part
      part.memory = try region.sealedMemory(of: area)
      insert(part)
    } catch {
      let reason =
        switch error {
        case .notPermitted: "its file is not sealed against shrinking"
        case .invalidArgument: "it does not consist of whole pages"
        default: "it cannot be mapped: \(error)"
        }
      refuse(part, error, reason)
    }
  }

  // MARK: Descriptors

  mutating func add(_ descriptors: ClientIODescriptors, _ makePort: RegionPlan.PortMaker) {
    var ports: [UInt32: Result<any IORegionPort, Errno>] = [:]
    for entry in descriptors.entries.prefix(RegionPlan.maximumEntryCount) {
      switch entry.kind {
      case .ioeventfd: addEvent(entry, descriptors)
      case .ioregionfd, .mailbox:
        addPort(entry) { () throws(Errno) in
          if let known = ports[entry.descriptorIndex] { return try known.get() }
          let made = Result { () throws(Errno) in try makePort(entry, descriptors) }
          ports[entry.descriptorIndex] = made
          return try made.get()
        }
      case .postedMessage:
        let part = RegionPart(
          offset: entry.offset.rawValue, byteCount: entry.byteCount, path: .postedMessage)
        if check(part) { insert(part) }
      case .shadowIOEventfd:
        refuse(entry, "ioeventfd with shadow memory", .notSupported, "it is not supported")
      default:
        refuse(entry, "kind \(entry.kind.rawValue)", .notSupported, "it is not known")
      }
    }
    let rest = descriptors.entries.dropFirst(RegionPlan.maximumEntryCount)
    if let first = rest.first {
      refuse(first, "\(rest.count) more entries", .noBufferSpace, "there are too many")
    }
  }

  private mutating func addPort(
    _ entry: RegionIODescriptor, _ port: () throws(Errno) -> any IORegionPort
  ) {
    let flags = IORegionAssignment.Flags(rawValue: entry.flags)
    let postsWrites = flags.contains(.postedWrites)
    var part = RegionPart(
      offset: entry.offset.rawValue, byteCount: entry.byteCount,
      path: entry.kind == .mailbox
        ? .mailbox(postsWrites: postsWrites) : .ioregionfd(postsWrites: postsWrites),
      userData: entry.value)
    guard flags.isSubset(of: .known) else {
      return refuse(part, .invalidArgument, "it has flags that are not known")
    }
    guard check(part) else { return }
    do {
      part.port = try port()
      insert(part)
    } catch {
      let reason =
        error == .notSupported
        ? "it is not supported" : "its descriptor cannot be used: \(error)"
      refuse(part, error, reason)
    }
  }

  private mutating func addEvent(
    _ entry: RegionIODescriptor, _ descriptors: ClientIODescriptors
  ) {
    typealias Flags = RegionIODescriptor.Flags
    let isMatching = entry.flags & Flags.eventMatches != 0
    // Whether they are ports is for the monitor to know.
    guard entry.flags & ~(Flags.eventMatches | Flags.eventIsPortIO) == 0 else {
      return refuse(entry, "ioeventfd", .invalidArgument, "it has flags that are not known")
    }
    guard [0, 1, 2, 4, 8].contains(entry.byteCount), !isMatching || entry.byteCount > 0 else {
      return refuse(entry, "ioeventfd", .invalidArgument, "no access has its length")
    }
    let offset = entry.offset.rawValue
    guard isInside(offset, max(1, entry.byteCount)) else {
      return refuse(entry, "ioeventfd", .invalidArgument, "it leaves the region")
    }
    let range = offset..<(offset + max(1, entry.byteCount))
    guard !overlapping(range).contains(where: { $0.path == .mapped }) else {
      return refuse(entry, "ioeventfd", .invalidArgument, "it lies over mapped memory")
    }
    do {
      let event = RegionEvent(
        offset: entry.offset, byteCount: Int(entry.byteCount),
        matching: isMatching ? entry.value : nil,
        signal: EventDescriptorBox(
          try EventDescriptor(
            adopting: try descriptors.duplicate(at: Int(entry.descriptorIndex)))))
      let io = event.event(in: .memory, at: 0)
      guard !events.contains(where: { $0.event(in: .memory, at: 0).collides(with: io) }) else {
        return refuse(entry, "ioeventfd", .fileExists, "another one takes the same writes")
      }
      events.append(event)
    } catch {
      refuse(entry, "ioeventfd", error, "its descriptor cannot be used: \(error)")
    }
  }

  // MARK: Checks

  private mutating func check(_ part: RegionPart) -> Bool {
    guard part.byteCount > 0 else {
      refuse(part, .invalidArgument, "it is empty")
      return false
    }
    guard isInside(part.offset.rawValue, part.byteCount) else {
      refuse(part, .invalidArgument, "it leaves the region")
      return false
    }
    guard isFree(part) else {
      refuse(part, .invalidArgument, "it overlaps another part")
      return false
    }
    return true
  }

  private func isInside(_ offset: UInt64, _ byteCount: UInt64) -> Bool {
    offset <= info.byteCount && byteCount <= info.byteCount - offset
  }

  private func isFree(_ part: RegionPart) -> Bool {
    overlapping(part.offset.rawValue..<part.end).isEmpty
  }

  /// The parts that have bytes of a range.
  private func overlapping(_ range: Range<UInt64>) -> ArraySlice<RegionPart> {
    let first = parts.firstIndex(from: { $0.end > range.lowerBound })
    let behind = parts.firstIndex(from: { $0.offset.rawValue >= range.upperBound })
    return parts[first..<max(first, behind)]
  }

  /// Takes a part as it is; it was checked.
  mutating func insert(_ part: RegionPart) {
    parts.insert(part, at: parts.firstIndex(from: { $0.offset >= part.offset }))
  }

  private mutating func refuse(_ part: RegionPart, _ errno: Errno, _ reason: String) {
    fallbacks.append(
      RegionFallback(
        part.offset.rawValue, part.byteCount, part.path.description, errno, reason))
  }

  private mutating func refuse(
    _ entry: RegionIODescriptor, _ wish: String, _ errno: Errno, _ reason: String
  ) {
    fallbacks.append(
      RegionFallback(entry.offset.rawValue, entry.byteCount, wish, errno, reason))
  }
}

extension RandomAccessCollection where Index == Int {
  /// The index of the first element for which `predicate` holds, in a collection where it holds for
  /// all that follow one; the end when there is none.
  @inline(__always)
  func firstIndex(from predicate: (Element) -> Bool) -> Int {
    var low = startIndex
    var high = endIndex
    while low < high {
      let middle = low + (high - low) / 2
      if predicate(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
