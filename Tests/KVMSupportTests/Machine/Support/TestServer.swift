import CVFIOUserLinux
import Logging
import Synchronization
import Testing

@testable import DeviceModel
@testable import VFIOUser

/// A device that is served on a thread of its own, to one client after the other.
final class TestServer: @unchecked Sendable {
  // Its owner starts and ends it; the loop is posted to.
  private let thread: LoopThread
  private let server: Mutex<Server>

  private struct Server: @unchecked Sendable {
    // Confined to the loop.
    var server: DeviceServer?
    var host: DeviceHost?
    /// What ends stalls: nothing stays behind where a test ends before it ended them.
    var stalls: [EventDescriptorBox] = []
  }

  /// - Parameter kind: the device; it is made on its loop.
  convenience init(_ kind: any (PCIDevice & SendableMetatype).Type) throws {
    try self.init { loop in try PCIFunction(kind, loop: loop) }
  }

  /// - Parameter make: makes the device, on its loop.
  init(_ make: @escaping @Sendable (EventLoop) throws -> PCIFunction) throws {
    thread = try LoopThread(name: "served", polling: .never)
    server = Mutex(Server(server: nil))
    let loop = thread.loop
    let made = EventDescriptorBox(try EventDescriptor())
    loop.post { [self] in
      do {
        let host = DeviceHost(
          device: try make(loop), loop: loop, options: DeviceOptions(),
          logger: Logger(label: "test"))
        let server = DeviceServer(host: host)
        self.server.withLock {
          $0.server = server
          $0.host = host
        }
      } catch {
        Issue.record("the device cannot be made: \(error)")
      }
      made.event.signal()
    }
    _ = made.event.wait(timeout: .seconds(60))
  }

  /// The client's end of a new connection, which is served after the one before has gone.
  func open() throws(ClientError) -> OwnedDescriptor {
    var ends: [CInt] = [-1, -1]
    guard unsafe cvfu_socket_pair(&ends) == 0 else {
      throw ClientError(.systemCall, .ioError, "no socket pair")
    }
    let end = HeldDescriptor(OwnedDescriptor(adopting: ends[0]))
    thread.loop.post { [weak self] in self?.serve(end) }
    return OwnedDescriptor(adopting: ends[1])
  }

  /// Serves a connection as soon as the loop has noticed that the one before has gone. On the loop.
  private func serve(_ end: HeldDescriptor) {
    let present = server.withLock { $0 }
    guard let server = present.server, let host = present.host else { return }
    guard !host.isOccupied else {
      thread.loop.schedule(after: .milliseconds(1)) { [weak self] in self?.serve(end) }
      return
    }
    guard let socket = end.take() else { return }
    do { try server.adopt(socket) } catch { Issue.record("the server failed: \(error)") }
  }

  /// Keeps the thread busy: the server is there, and answers nothing until `release` is signalled.
  func stall(until release: EventDescriptorBox) {
    let begun = try? EventDescriptorBox(EventDescriptor())
    server.withLock { $0.stalls.append(release) }
    thread.loop.post {
      begun?.event.signal()
      _ = release.event.wait(timeout: .seconds(300))
    }
    _ = begun?.event.wait(timeout: .seconds(60))
  }

  /// Ends the thread, and the connection with it: the server has died.
  func die() {
    let (last, stalls) = server.withLock { state in
      defer { state = Server(server: nil) }
      return (state.server, state.stalls)
    }
    for stall in stalls { stall.signal() }
    if let last {
      // Stopped on its loop: a host that goes with a live session would stay with it.
      if thread.loop.isRunningHere {
        last.stop {}
      } else {
        let done = try? EventDescriptorBox(EventDescriptor())
        let confined = LoopConfined(last)
        thread.loop.post { confined.value.stop { done?.signal() } }
        if done?.event.wait(timeout: .seconds(60)) == nil { Issue.record("a server did not stop") }
      }
    }
    thread.end()
  }

  deinit { die() }
}
