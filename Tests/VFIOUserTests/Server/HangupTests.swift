import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// A client that goes away while its commands wait, under the server's own loop.
@Suite("Hangups") struct HangupTests {
  final class Served {
    let loop: EventLoop
    let device: TestDevice
    let server: DeviceServer
    var peer: TestPeer?

    init() throws {
      loop = try EventLoop(polling: .never)
      device = try TestDevice()
      server = DeviceServer(host: DeviceHost(device: device, loop: loop))
      var ends: [CInt] = [-1, -1]
      _ = ends.withUnsafeMutableBufferPointer { unsafe cvfu_socket_pair($0.baseAddress) }
      try server.adopt(OwnedDescriptor(adopting: ends[0]))
      peer = try TestPeer(adopting: OwnedDescriptor(adopting: ends[1]))
      try peer?.send(VersionMessage(capabilities: TestRig.usualCapabilities))
      try work()
    }

    func work(_ turns: Int = 10) throws {
      for _ in 0..<turns { try loop.runOnce(timeout: .zero) }
    }
  }

  @Test("V11: an access that waits does not keep its client's end from being seen")
  func deferredAccess() throws {
    let served = try Served()
    try served.peer?.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try served.peer?.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    try served.work()
    #expect(served.device.slow.replies.count == 1)
    served.peer?.channel.shutDown()
    served.peer = nil
    try served.work()
    #expect(!served.server.host.isOccupied)
  }

  @Test("A client that hung up does not keep a loop awake while the device is not quiet yet")
  func quiescing() throws {
    let served = try Served()
    served.device.holdsQuiesce = true
    try served.peer?.send(.deviceReset)
    try served.peer?.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    try served.work()
    served.peer?.channel.shutDown()
    served.peer = nil
    try served.work()
    // Nothing is ready any more: a turn takes its whole time.
    let start = MonotonicTime.now
    try served.loop.runOnce(timeout: .milliseconds(30))
    #expect(MonotonicTime.now >= start.advanced(by: .milliseconds(25)))
    served.device.holdsQuiesce = false
    served.device.quiesceCompletion?.done()
    try served.work()
    #expect(!served.server.host.isOccupied)
  }
}
