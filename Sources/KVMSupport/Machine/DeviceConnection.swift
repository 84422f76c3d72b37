import CVFIOUserLinux
import VFIOUser

/// How a device is reached: it connects, serves what the device asks for while no CPU waits for it, and
/// notices at once when its server dies.
///
/// Each device has one, with a thread of its own, so that none waits for another.
///
/// Threads: any.
final class DeviceConnection: @unchecked Sendable {
  // The loop's state is reached through `post` alone; the thread is ended once.
  private let thread: LoopThread
  private let connect: @Sendable (ClientOptions) throws(ClientError) -> DeviceClient
  private let options: ClientOptions
  /// What the server has said about regions.
  let changes: RegionChanges
  private let watches = Watches()

  /// Confined to the loop.
  private final class Watches: @unchecked Sendable {
    var client: DeviceClient?
    var tokens: [WatchToken] = []
  }

  /// How long to leave a socket alone that another thread reads from.
  private static let pause = Duration.microseconds(500)

  init(
    options: ClientOptions,
    _ connect: @escaping @Sendable (ClientOptions) throws(ClientError) -> DeviceClient
  ) throws(Errno) {
    thread = try LoopThread(name: "device", polling: .never)
    self.connect = connect
    let changes = RegionChanges(thread.loop)
    self.changes = changes
    var options = options
    let inner = options.onRegionChanged
    options.onRegionChanged = { region in
      changes.note(region)
      inner?(region)
    }
    self.options = options
  }

  /// Connects.
  func open() throws(ClientError) -> DeviceClient { try connect(options) }

  /// Serves a client's connection until it fails; then its device is lost.
  func serve(_ client: DeviceClient, for device: AttachedDevice) {
    changes.serve(device)
    let (loop, watches) = (thread.loop, watches)
    loop.post { [weak device] in
      Self.forget(loop, watches)
      watches.client = client
      Self.watch(client, loop, watches) { device?.lose($0, of: client) }
    }
  }

  /// Ends the thread.
  func end() {
    changes.end()
    thread.end()
  }

  private static func forget(_ loop: EventLoop, _ watches: Watches) {
    for token in watches.tokens { loop.unwatch(token) }
    watches.tokens = []
  }

  private static func watch(
    _ client: DeviceClient, _ loop: EventLoop, _ watches: Watches,
    _ failed: @escaping (ClientError) -> Void
  ) {
    for descriptor in client.descriptors {
      do throws(Errno) {
        let token = try loop.watch(descriptor, .readable) { _ in
          process(client, loop, watches, failed)
        }
        watches.tokens.append(token)
      } catch {
        failed(ClientError(.disconnected, error, "cannot watch the connection"))
      }
    }
  }

  private static func process(
    _ client: DeviceClient, _ loop: EventLoop, _ watches: Watches,
    _ failed: @escaping (ClientError) -> Void
  ) {
    do throws(ClientError) {
      try client.process()
    } catch {
      forget(loop, watches)
      return failed(error)
    }
    guard client.descriptors.contains(where: isReadable) else { return }
    // A thread that waits for a reply reads it: until then, waiting here would only turn in circles.
    forget(loop, watches)
    _ = loop.schedule(after: pause) {
      guard watches.client === client, watches.tokens.isEmpty else { return }
      watch(client, loop, watches, failed)
    }
  }

  private static func isReadable(_ descriptor: CInt) -> Bool {
    var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // Safety: one element, for the time of the call.
    return unsafe poll(&state, 1, 0) == 1
  }
}
