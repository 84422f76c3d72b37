/// Which of a region's declared paths can be offered, and which loop serves each.
struct RegionPathPlan {
  /// A path that can be offered.
  struct Entry {
    let path: RegionPath
    /// The loop of its range; nil for the device's own.
    let loop: EventLoop?
    /// For an ioeventfd: what its writes go to.
    let range: RegionRange?
  }

  /// The paths in the order of their declaration; those that only name messages are left out.
  private(set) var entries: [Entry] = []
  /// Why a declared path is none of them.
  private(set) var refusals: [(path: RegionPath, reason: String)] = []

  /// - Parameter home: the device's loop.
  init(
    _ paths: [RegionPath], of region: HostedRegion, _ layout: RegionLayout, home: EventLoop
  ) {
    for path in paths where path.kind != .message {
      if let reason = Self.check(path, layout) ?? conflict(of: path) {
        refusals.append((path, reason))
        continue
      }
      let end = path.offset.rawValue + max(path.byteCount, 1)
      let touched = region.region.ranges.filter {
        $0.offset.rawValue < end && path.offset.rawValue < $0.offset.rawValue + $0.byteCount
      }
      let loops = touched.map { $0.loop === home ? nil : $0.loop }
      let loop = loops.first ?? nil
      guard loops.allSatisfy({ $0 === loop }) else {
        refusals.append((path, "its ranges run on several loops"))
        continue
      }
      if case .ioeventfd = path.kind {
        guard touched.count == 1, let range = touched.first, range.contains(path.offset.rawValue),
          end <= range.offset.rawValue + range.byteCount
        else {
          refusals.append((path, "it lies in no single range"))
          continue
        }
        entries.append(Entry(path: path, loop: loop, range: range))
      } else {
        entries.append(Entry(path: path, loop: loop, range: nil))
      }
    }
  }

  /// What is wrong with a path by itself.
  private static func check(_ path: RegionPath, _ layout: RegionLayout) -> String? {
    let (end, overflow) = path.offset.rawValue.addingReportingOverflow(max(path.byteCount, 1))
    guard !overflow, end <= layout.byteCount else { return "it leaves the region" }
    if case .ioeventfd = path.kind {
      guard [0, 1, 2, 4, 8].contains(path.byteCount) else {
        return "an ioeventfd has 1, 2, 4 or 8 bytes, or 0 for any size"
      }
      guard layout.rights.contains(.write) else { return "nobody can write there" }
    } else {
      guard path.byteCount > 0 else { return "it is empty" }
    }
    if let mapping = layout.mapping {
      let areas =
        mapping.areas.isEmpty
        ? [RegionArea(offset: RegionOffset(0), byteCount: layout.byteCount)] : mapping.areas
      for area in areas
      where area.offset.rawValue < end
        && path.offset.rawValue < area.offset.rawValue + area.byteCount
      {
        return "clients may map the place"
      }
    }
    return nil
  }

  /// What of the earlier ones excludes a path.
  private func conflict(of path: RegionPath) -> String? {
    for other in entries.map(\.path) {
      switch (path.kind, other.kind) {
      case (.ioeventfd(let value), .ioeventfd(let otherValue)):
        if path.offset == other.offset, path.byteCount == other.byteCount,
          value == otherValue || value == nil || otherValue == nil
        {
          return "another ioeventfd has the place and the value"
        }
      case (.ioeventfd, _), (_, .ioeventfd): continue
      default:
        if path.offset.rawValue < other.offset.rawValue + other.byteCount,
          other.offset.rawValue < path.offset.rawValue + path.byteCount
        {
          return "it overlaps another path"
        }
      }
    }
    return nil
  }
}
