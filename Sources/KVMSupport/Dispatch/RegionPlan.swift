import VFIOUser

/// How each part of a region is reached: what the server offers, checked, and messages for the rest.
///
/// Nothing that the server says is believed: what contradicts itself, leaves the region or is not
/// known is not used, falls back to messages, and is listed with the reason.
public struct RegionPlan: Sendable {
  /// Makes the port of an entry that is an ioregionfd or a mailbox.
  ///
  /// Called once for each descriptor, however many entries share it. What it throws becomes a
  /// fallback's reason.
  public typealias PortMaker = (RegionIODescriptor, ClientIODescriptors) throws(Errno)
    -> any IORegionPort

  /// Every byte of the region, once, in order.
  public internal(set) var parts: [RegionPart]
  /// The writes that signal an eventfd, wherever the parts say that they belong.
  public internal(set) var events: [RegionEvent] = []
  /// What the server wished for and did not get.
  public internal(set) var fallbacks: [RegionFallback] = []

  /// The most entries of a region that are looked at.
  public static let maximumEntryCount = 4096

  /// A plan that reaches the whole region by messages.
  public init(messagesFor info: RegionInfo) {
    parts =
      info.byteCount == 0
      ? [] : [RegionPart(offset: 0, byteCount: info.byteCount, path: .message)]
  }

  /// Makes the best of what the server said.
  ///
  /// Mappable areas come first, then the entries in their order; what overlaps an earlier one is
  /// refused. An eventfd takes matching writes off what lies below, which may be anything but mapped
  /// memory.
  /// - Parameters:
  ///   - region: the region; its mappable areas are mapped already.
  ///   - descriptors: the answer to `DeviceClient.ioDescriptors(region:)`; nil where there was none.
  ///   - makePort: nil for ``port(for:_:client:polling:)``.
  public init(
    region: ClientRegion, descriptors: ClientIODescriptors?, makePort: PortMaker? = nil
  ) {
    var planner = RegionPlanner(region.info)
    planner.add(areasOf: region)
    if let descriptors, let makePort {
      planner.add(descriptors, makePort)
    } else if let descriptors {
      let client = region.client
      planner.add(descriptors) { entry, descriptors throws(Errno) in
        try Self.port(for: entry, descriptors, client: client)
      }
    }
    self = planner.plan
  }

  /// Asks the server for the descriptors of a region, and makes the best of its answer.
  ///
  /// A server that has no such command has no descriptors.
  /// - Throws: as every call of the client, but not `rejected`.
  public init(asking region: ClientRegion, makePort: PortMaker? = nil) throws(ClientError) {
    var descriptors: ClientIODescriptors?
    if region.byteCount > 0 {
      do { descriptors = try region.client.ioDescriptors(region: region) } catch {
        guard error.code == .rejected else { throw error }
      }
    }
    self.init(region: region, descriptors: descriptors, makePort: makePort)
  }

  init(parts: [RegionPart], events: [RegionEvent], fallbacks: [RegionFallback]) {
    self.parts = parts
    self.events = events
    self.fallbacks = fallbacks
  }

  /// The port of an entry, as a plan makes it by itself.
  ///
  /// - Parameters:
  ///   - entry: an ioregionfd or a mailbox.
  ///   - descriptors: the answer that it is of.
  ///   - client: the session that they came over.
  ///   - polling: how a thread waits for a response; nil leaves it to the kind of port.
  /// - Throws: `ENOTSUP` for a kind that has none, or that was not agreed on, else what the port's
  ///   initialiser throws.
  public static func port(
    for entry: RegionIODescriptor, _ descriptors: ClientIODescriptors, client: DeviceClient,
    polling: PollingMode? = nil
  ) throws(Errno) -> any IORegionPort {
    switch entry.kind {
    case .ioregionfd:
      try IORegionChannel(
        adopting: try descriptors.duplicate(at: Int(entry.descriptorIndex)),
        timeout: client.timeout, polling: polling ?? .never)
    case .mailbox:
      try descriptors.makeMailboxPort(
        for: entry, client: client, polling: polling ?? .adaptive)
    default: throw .notSupported
    }
  }

  /// The same plan with some ranges left to the monitor.
  ///
  /// A descriptor's part is given up as a whole where it has bytes of such a range: its server counts
  /// offsets from the start of the part, and what sends the accesses knows of no holes.
  func leaving(_ ranges: [Range<UInt64>]) -> RegionPlan {
    guard let byteCount = parts.last?.end else { return self }
    var plan = self
    for range in ranges {
      let range = range.clamped(to: 0..<byteCount)
      if !range.isEmpty { plan.leave(range) }
    }
    return plan
  }

  private mutating func leave(_ range: Range<UInt64>) {
    let reason = "the monitor handles a part of it"
    var kept: [RegionPart] = []
    for part in parts {
      let before = part.clamped(to: 0..<range.lowerBound)
      let after = part.clamped(to: range.upperBound..<UInt64.max)
      var rest = [before, after].compactMap(\.self)
      // Whole pages can still be shown to the guest.
      if part.path == .mapped { rest = rest.flatMap(\.splitAtPages) }
      let isTouched = part.clamped(to: range) != nil
      if isTouched, part.port != nil, part.path != .monitor {
        fallbacks.append(
          RegionFallback(
            part.offset.rawValue, part.byteCount, part.path.description, .invalidArgument, reason))
        rest = rest.map {
          RegionPart(offset: $0.offset.rawValue, byteCount: $0.byteCount, path: .message)
        }
      }
      kept += rest
    }
    kept.append(
      RegionPart(
        offset: range.lowerBound, byteCount: UInt64(range.count), path: .monitor))
    parts = kept.sorted { $0.offset < $1.offset }
    for event in events where event.touches(range) {
      fallbacks.append(
        RegionFallback(
          event.offset.rawValue, UInt64(event.byteCount), "ioeventfd", .invalidArgument, reason))
    }
    events.removeAll { $0.touches(range) }
  }
}

extension RegionEvent {
  /// Whether the write has bytes of a range; one of any length is looked at as if it had one.
  func touches(_ range: Range<UInt64>) -> Bool {
    offset.rawValue < range.upperBound
      && offset.rawValue + UInt64(max(1, byteCount)) > range.lowerBound
  }
}
