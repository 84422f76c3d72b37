import CVFIOUserLinux
import Foundation
import Logging
import Testing

@testable import DeviceModel
@testable import VFIOUser

/// A function served on a thread of its own, and a client on a socket to it.
final class ServedFunction {
  let client: DeviceClient
  private let loop: EventLoop
  private let finished = DispatchSemaphore(value: 0)

  /// - Parameter make: makes the function on its loop.
  init(
    options: DeviceOptions = DeviceOptions(), clientOptions: ClientOptions = ClientOptions(),
    _ make: @escaping @Sendable (EventLoop) throws -> PCIFunction
  ) throws {
    var ends: [CInt] = [-1, -1]
    // Safety: the array has room for the two descriptors that the call writes.
    let result = unsafe cvfu_socket_pair(&ends)
    try #require(result == 0)
    let serverEnd = ends[0]
    let loop = try EventLoop(polling: .never)
    self.loop = loop
    let finished = finished
    Thread.detachNewThread {
      do {
        let host = DeviceHost(
          device: try make(loop), loop: loop, options: options, logger: Logger(label: "test"))
        let server = DeviceServer(host: host)
        try server.adopt(OwnedDescriptor(adopting: serverEnd))
        try loop.run()
      } catch {
        Issue.record("the server failed: \(error)")
      }
      finished.signal()
    }
    var clientOptions = clientOptions
    clientOptions.timeout = .seconds(60)
    client = try DeviceClient.connect(
      adopting: OwnedDescriptor(adopting: ends[1]), options: clientOptions)
  }

  deinit {
    client.close()
    loop.stop()
    finished.wait()
  }

  func configuration() throws -> ClientRegion {
    try client.region(at: PCIRegionIndex.configurationSpace)
  }
}
