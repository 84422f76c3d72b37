import Logging
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("serial over a real socket")
struct SerialSocketTests {
  @Test("Q5: a driver that polls LSR loses nothing to a reader that stops and goes on")
  func stoppedReader() throws {
    let bench = try BackendBench()
    try bench.attach("unix:\(bench.path("socket"))")
    let function = try PCIFunction(SerialDevice.self, backend: bench.port, loop: bench.loop)
    function.start(
      DeviceServices(layout: function.layout, loop: bench.loop, logger: Logger(label: "test")))
    let region = try #require(function.region(at: 0))
    let peer = try Peer(socket: bench.path("socket"))
    try bench.wait { bench.port.isConnected }
    try region.storeBytes([0x01], at: 2)

    var sent: [UInt8] = []
    func isReady() throws -> Bool { try region.loadBytes(at: 5, byteCount: 1)[0] & 0x20 != 0 }
    func sendBurst() throws {
      for _ in 0..<16 {
        let byte = UInt8(truncatingIfNeeded: sent.count &* 7)
        try region.storeBytes([byte], at: 0)
        sent.append(byte)
      }
    }
    // The peer does not read until the driver sees the transmitter stall.
    while try isReady() {
      try sendBurst()
      try #require(sent.count < 1 << 22)
    }
    try bench.run(for: .milliseconds(5))
    #expect(try !isReady())
    // From now on it reads, and the driver goes on as LSR lets it.
    let end = sent.count + 5000
    try bench.wait {
      peer.read()
      if try isReady(), sent.count < end { try sendBurst() }
      return sent.count >= end && peer.received.count == sent.count
    }
    #expect(peer.received == sent)
    #expect(try #require(function.device as? SerialDevice).uart.droppedByteCount == 0)
  }
}
