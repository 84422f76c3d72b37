/// Serves the sockets of ioregionfds on one loop with epoll, and looks at the busy ones itself while
/// the loop spins.
///
/// Threads: confined to its loop.
final class SocketService: IORegionService {
  let loop: EventLoop
  /// The endpoints that had a command not long ago.
  private var busy: [SocketEndpoint] = []
  private var poller: PollerToken?

  /// How many endpoints are looked at while the loop spins; the loop finds what the others have.
  private static let limit = 4
  /// After so many looks in vain an endpoint is looked at less often.
  private static let toleratedMisses = 32
  /// After so many it counts as busy no more.
  private static let manyMisses = 4096

  init(_ loop: EventLoop) { self.loop = loop }

  func serve(
    _ socket: consuming OwnedDescriptor, for executor: any IORegionExecutor
  ) throws(Errno) -> any IORegionEndpoint {
    let endpoint = SocketEndpoint(socket, executor, self)
    try endpoint.arm()
    return endpoint
  }

  /// Notes that an endpoint had a command: more may follow at once.
  func noteActivity(_ endpoint: SocketEndpoint) {
    loop.noteActivity()
    endpoint.misses = 0
    guard loop.polling != .never, !endpoint.isClosed,
      !busy.contains(where: { $0 === endpoint })
    else { return }
    if busy.count == Self.limit { busy.removeFirst() }
    busy.append(endpoint)
    // The loop keeps the service while one is busy.
    if poller == nil { poller = loop.addPoller { [self] in poll() } }
  }

  private func poll() -> Bool {
    var found = false
    var index = 0
    while index < busy.count {
      let endpoint = busy[index]
      index += 1
      if endpoint.misses >= Self.toleratedMisses {
        endpoint.misses += 1
        if endpoint.misses > Self.manyMisses {
          index -= 1
          busy.remove(at: index)
          continue
        }
        if endpoint.misses % 8 != 0 { continue }
      }
      if endpoint.process() {
        endpoint.misses = 0
        found = true
      } else if endpoint.misses < Self.toleratedMisses {
        endpoint.misses += 1
      }
    }
    if found { loop.noteActivity() }
    if busy.isEmpty { endPolling() }
    return found
  }

  private func endPolling() {
    if let poller { loop.removePoller(poller) }
    poller = nil
  }

  /// An endpoint has closed.
  func forget(_ endpoint: SocketEndpoint) {
    busy.removeAll { $0 === endpoint }
    if busy.isEmpty { endPolling() }
  }
}
