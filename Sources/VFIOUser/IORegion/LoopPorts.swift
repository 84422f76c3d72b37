import Logging

/// What one loop serves for a session: the ends of its descriptors, and ioeventfds.
///
/// Threads: confined to its loop; made by the session.
final class LoopPorts {
  private let loop: EventLoop
  private let engine: (any IORegionEngine)?
  private let logger: Logger
  private var service: (any IORegionService)?
  private var groups: [Int: Group] = [:]
  private var events: [EventWatch] = []
  private var pauseCount = 0
  private var isClosed = false

  private final class Group {
    let executor: RegionExecutor
    /// The oldest first.
    var endpoints: [any IORegionEndpoint] = []

    init(_ executor: RegionExecutor) { self.executor = executor }
  }

  /// The most ends of one group that are served at a time: those that clients asked for and forgot.
  private static let liveEndLimit = 8

  init(loop: EventLoop, engine: (any IORegionEngine)?, logger: Logger) {
    self.loop = loop
    self.engine = engine
    self.logger = logger
  }

  /// Adds a part to a group, and makes the group where there is none of that number.
  func add(_ part: RegionExecutor.Part, to number: Int, of region: HostedRegion, index: Int) {
    let group =
      groups[number]
      ?? Group(RegionExecutor(region, index: index, loop: loop, logger: logger))
    groups[number] = group
    group.executor.add(part)
    group.executor.onClosed = { [weak group] closed in
      group?.endpoints.removeAll { $0 === closed }
    }
  }

  /// Serves the device's end of a descriptor for a group.
  func serve(_ end: any IORegionDeviceEnd, for number: Int) {
    guard !isClosed, let group = groups[number] else { return }
    do throws(Errno) {
      let endpoint = try end.open(on: loop, currentService(), for: group.executor)
      for _ in 0..<pauseCount { endpoint.pause() }
      if group.endpoints.count == Self.liveEndLimit {
        let oldest = group.endpoints.removeFirst()
        oldest.close()
        group.executor.forgetDeferred(of: oldest)
      }
      group.endpoints.append(endpoint)
    } catch {
      // The client finds its end closed, and sends messages.
      logger.warning("a descriptor cannot be served: \(error)")
    }
  }

  /// Passes the signals of an ioeventfd on.
  func listen(to event: EventWatch) {
    guard !isClosed else { return }
    do throws(Errno) {
      try event.open()
      for _ in 0..<pauseCount { event.pause() }
      events.append(event)
    } catch {
      logger.warning("an ioeventfd cannot be served: \(error)")
    }
  }

  private func currentService() -> any IORegionService {
    if let service { return service }
    var made: (any IORegionService)?
    if let engine {
      do throws(Errno) { made = try engine.makeService(on: loop) } catch {
        logger.notice("ioregionfds are served with epoll: \(error)")
      }
    }
    let result = made ?? SocketService(loop)
    service = result
    return result
  }

  // MARK: Fences

  /// Takes no further access until `resume`. Calls nest.
  func pause() {
    pauseCount += 1
    forEachEndpoint { $0.pause() }
    for event in events { event.pause() }
  }

  func resume() {
    pauseCount -= 1
    forEachEndpoint { $0.resume() }
    for event in events { event.resume() }
  }

  /// Answers what waits with all-ones, except for accesses that ask for a reset themselves.
  func voidDeferred() {
    for group in groups.values { group.executor.voidDeferred(sparesResets: true) }
  }

  /// Closes everything, for good.
  func close() {
    isClosed = true
    forEachEndpoint { $0.close() }
    for event in events { event.close() }
    for group in groups.values { group.executor.forgetDeferred() }
    groups = [:]
    events = []
    service = nil
  }

  private func forEachEndpoint(_ body: (any IORegionEndpoint) -> Void) {
    for group in groups.values {
      for endpoint in group.endpoints { body(endpoint) }
    }
  }
}
