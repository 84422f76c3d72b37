import CVFIOUserLinux
import Foundation
import Logging
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// A device served on a thread of its own with a Unix socket behind it, a client on a socket to it,
/// and the peer at the Unix socket.
final class ServedBench {
  let client: DeviceClient
  let peer: Peer
  private let loop: EventLoop
  private let finished = DispatchSemaphore(value: 0)
  private let path = "/tmp/vfio-user-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"

  /// - Parameter make: makes the device on its loop, with a port that is attached already.
  init(
    _ make: @escaping @Sendable (CharacterPort, EventLoop) throws -> any ServedDevice
  ) throws {
    var ends: [CInt] = [-1, -1]
    // Safety: the array has room for the two descriptors that the call writes.
    let result = unsafe cvfu_socket_pair(&ends)
    try #require(result == 0)
    let serverEnd = ends[0]
    let loop = try EventLoop(polling: .never)
    self.loop = loop
    let finished = finished
    let path = path
    Thread.detachNewThread {
      do {
        let port = CharacterPort()
        port.attach(try BackendSpecification("unix:\(path)").open(on: loop))
        let host = DeviceHost(
          device: try make(port, loop), loop: loop, logger: Logger(label: "test"))
        let server = DeviceServer(host: host)
        try server.adopt(OwnedDescriptor(adopting: serverEnd))
        try loop.run()
        port.detach()
      } catch {
        Issue.record("the server failed: \(error)")
      }
      finished.signal()
    }
    var options = ClientOptions()
    options.timeout = .seconds(60)
    client = try DeviceClient.connect(
      adopting: OwnedDescriptor(adopting: ends[1]), options: options)
    peer = try Peer(socket: path)
  }

  deinit {
    client.close()
    loop.stop()
    finished.wait()
  }

  /// Looks again and again until `condition` holds, a minute at most.
  func wait(until condition: () throws -> Bool) throws {
    let end = MonotonicTime.now.advanced(by: .seconds(60))
    while MonotonicTime.now < end {
      if try condition() { return }
      usleep(1000)
    }
    Issue.record("the condition did not come true within a minute")
  }
}
