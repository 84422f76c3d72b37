import Synchronization
import VFIOUser

/// The guest's physical addresses and ports: who answers what.
///
/// Exactly one mechanism answers an access. An ioeventfd takes the writes that match it; else what the
/// address belongs to answers: memory, a range that goes over a port, a handler of the monitor's, or a
/// part of a device's region by the path that its plan chose. An access that straddles parts is split at
/// their borders, the lower address first, and again where a port takes only 1, 2, 4 or 8 bytes. What
/// belongs to nobody reads as all-ones and ignores writes, and so does what a lost server answered for.
/// Where the device may come back, an access waits for it instead, in moments that each end with
/// `.interrupted`, and is then looked up anew.
///
/// Threads: any. Placing and removing may happen while vCPUs access, and on a vCPU's own thread from
/// inside an access: each access uses the map that was valid when it began. An access that was
/// interrupted finishes where it began.
public final class AddressSpace: @unchecked Sendable {
  /// What takes accesses over, or nil when every access comes here.
  public let hypervisor: (any Hypervisor)?
  /// How long an access waits for a device that is away before its vCPU may look around.
  static let moment = Duration.milliseconds(10)
  /// The ranges that go over ports from here; unused when the hypervisor provides for them.
  public let ioRegions = IORegionTable()
  let onEvent: @Sendable (AddressSpaceEvent) -> Void

  struct HandlerPlacement {
    let handler: any GuestAccessHandler
    let space: GuestSpace
    let start: UInt64
    let last: UInt64
  }

  /// Guards the placements and `map`. Lock order: this one, then a window's, the table's or the
  /// hypervisor's own. Never held while an access is carried out or `onEvent` is called.
  let lock = ConditionLock()
  var windows: [WindowPlacement] = []
  var handlers: [HandlerPlacement] = []
  var memories: [MemorySlot] = []
  private var map = AddressMap()
  /// Counts the maps. Stored with release ordering under the lock; pairs with the acquiring load of
  /// each access, which then takes the new map under the lock.
  private let generation = Atomic<Int>(1)

  /// Makes an empty space.
  ///
  /// - Parameters:
  ///   - hypervisor: what takes accesses over; nil for a processor in software.
  ///   - onEvent: called once for each loss, on the thread that met it, without a lock.
  public init(
    hypervisor: (any Hypervisor)? = nil,
    onEvent: @escaping @Sendable (AddressSpaceEvent) -> Void = { _ in }
  ) {
    self.hypervisor = hypervisor
    self.onEvent = onEvent
  }

  /// What sends accesses over ports: the hypervisor's provider, else the table.
  var provider: any IORegionProvider { hypervisor?.ioRegionProvider ?? ioRegions }

  // MARK: Maps

  /// Makes sure that `progress` has the present map.
  @inline(__always)
  func adoptMap(_ progress: inout AccessProgress) -> AddressMap {
    if let map = progress.map, progress.generation == generation.load(ordering: .acquiring) {
      return map
    }
    return lock.withLock {
      progress.map = map
      progress.generation = generation.load(ordering: .relaxed)
      return map
    }
  }

  /// Publishes a map of what is placed now. The caller holds the lock.
  func publish() {
    var entries: [GuestSpace: [AddressMap.Entry]] = [:]
    var events: [GuestSpace: [AddressMap.Event]] = [:]
    for window in windows {
      entries[window.space, default: []] += window.entries
      events[window.space, default: []] += window.ownEvents
    }
    for handler in handlers {
      entries[handler.space, default: []].append(
        AddressMap.Entry(
          start: handler.start, last: handler.last, base: handler.start,
          target: .handler(handler.handler)))
    }
    for memory in memories {
      let start = memory.address.rawValue
      entries[.memory, default: []].append(
        AddressMap.Entry(
          start: start, last: start + (memory.byteCount - 1), base: start,
          target: .memory(memory)))
    }
    var regions: [GuestSpace: [AddressMap.Entry]] = [:]
    for space in GuestSpace.allCases {
      regions[space] = ioRegions.regions(in: space).map { region in
        let window = windows.first { $0.part(of: region) != nil }
        return AddressMap.Entry(
          start: region.address.rawValue, last: region.last, base: region.address.rawValue,
          target: .region(region, window?.part(of: region), window?.window))
      }
    }
    map = AddressMap(entries, regions, events)
    generation.wrappingAdd(1, ordering: .releasing)
  }

  /// Forgets the ranges of a port that failed, and tells the monitor, once.
  func portFailed(_ port: any IORegionPort, _ failure: IORegionFailure) {
    let news = lock.withLock { () -> AddressSpaceEvent? in
      let window = windows.first { $0.regions.contains { $0.port === port } }?.window
      guard ioRegions.drop(port) else { return nil }
      publish()
      return AddressSpaceEvent(.portFailed(failure), window: window)
    }
    if let news { onEvent(news) }
  }
}
