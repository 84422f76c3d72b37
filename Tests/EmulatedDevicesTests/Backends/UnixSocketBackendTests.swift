import Glibc
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("Unix socket backend")
struct UnixSocketBackendTests {
  private let bench: BackendBench
  private let path: String

  init() throws {
    bench = try BackendBench()
    path = bench.path("socket")
    try bench.attach("unix:\(path)")
  }

  private func connect() throws -> Peer {
    let peer = try Peer(socket: path)
    try bench.wait { bench.port.isConnected }
    return peer
  }

  @Test("Q12: bytes pass both ways, and the line is connected while a peer is there")
  func passes() throws {
    #expect(!bench.port.isConnected)
    var peer: Peer? = try connect()
    #expect(bench.port.write(Array("out".utf8)) == 3)
    try peer?.send("in")
    try bench.wait { bench.text == "in" }
    #expect(peer?.read() == "out")
    peer = nil
    try bench.wait { !bench.port.isConnected }
    #expect(bench.connections == [true, false])
    peer = try connect()
    #expect(bench.connections == [true, false, true])
  }

  @Test("E20: a second peer is told why and closed, and the first goes on")
  func second() throws {
    let first = try connect()
    let second = try Peer(socket: path)
    try bench.wait { second.read() == "error busy: another peer is connected\n" && second.hasEnded }
    try first.send("still here")
    try bench.wait { bench.text == "still here" }
  }

  @Test("E20: a peer that comes after the first has hung up is taken, read or not")
  func successor() throws {
    bench.capacity = 0
    var first: Peer? = try connect()
    try first?.send("never read")
    try bench.run(for: .milliseconds(5))
    first = nil
    let second = try Peer(socket: path)
    try bench.wait { bench.connections.count == 3 }
    bench.capacity = 100
    bench.port.resumeReceiving()
    try second.send("read")
    try bench.wait { bench.text == "read" }
  }

  @Test("Q12: what a peer sent before it left is delivered when the device takes it")
  func drains() throws {
    bench.capacity = 0
    var peer: Peer? = try connect()
    try peer?.send("late")
    try bench.run(for: .milliseconds(5))
    peer = nil
    try bench.run(for: .milliseconds(5))
    #expect(bench.text.isEmpty)
    bench.capacity = 2
    bench.port.resumeReceiving()
    try bench.wait { bench.text == "late" && !bench.port.isConnected }
  }

  @Test("Q12: a peer that only listens still receives")
  func halfClosed() throws {
    let peer = try connect()
    try peer.send("last")
    peer.endOutput()
    try bench.wait { bench.text == "last" }
    try bench.run(for: .milliseconds(5))
    #expect(bench.port.isConnected)
    #expect(bench.port.write(Array("answer".utf8)) == 6)
    #expect(peer.read() == "answer")
  }

  @Test("Q12: a peer that stops reading makes the port full; nothing is lost or held in memory")
  func stoppedReader() throws {
    let peer = try connect()
    var sent = 0
    func pattern(_ range: Range<Int>) -> [UInt8] {
      range.map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    }
    while !bench.port.isFull {
      sent += bench.port.write(pattern(sent..<sent + 1000))
      try #require(sent < 1 << 24)
    }
    #expect(bench.port.write([1]) == 0)
    try bench.run(for: .milliseconds(5))
    #expect(bench.spaceCount == 0)
    peer.read()
    try bench.wait { bench.spaceCount == 1 }
    #expect(bench.port.write(pattern(sent..<sent + 10)) == 10)
    peer.read()
    #expect(peer.received == pattern(0..<sent + 10))
  }

  @Test("E17: a peer that vanishes in mid-output raises no signal and frees the device")
  func vanishes() throws {
    var peer: Peer? = try connect()
    while !bench.port.isFull { _ = bench.port.write([UInt8](repeating: 0, count: 4096)) }
    #expect(peer != nil)
    peer = nil
    try bench.wait { !bench.port.isConnected }
    #expect(bench.spaceCount == 1)
    #expect(bench.port.write([1, 2]) == 2)
  }

  @Test("E20: a stale socket file is replaced, a live one and another file are refused")
  func sockets() throws {
    let error = #expect(throws: BackendError.self) {
      try BackendSpecification("unix:\(path)").open(on: bench.loop)
    }
    #expect(error?.errno == .addressInUse)
    bench.port.detach()
    #expect(!bench.exists("socket"), "the socket goes away with its backend")
    // A socket that nobody listens at any more.
    let stale = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let name = Array(path.utf8)
    // Safety: the path is shorter than the field it is copied to, and bind reads one structure.
    let bound = unsafe withUnsafeMutableBytes(of: &address.sun_path) { (field) -> CInt in
      unsafe field.copyBytes(from: name)
      return 0
    }
    #expect(bound == 0)
    // Safety: as above.
    let result = unsafe withUnsafePointer(to: &address) { (pointer) -> CInt in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { (pointer) -> CInt in
        unsafe bind(stale, pointer, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    #expect(result == 0)
    close(stale)
    try bench.attach("unix:\(path)")
    _ = try connect()
    // A file that is no socket.
    try bench.attach("file:\(bench.path("file"))")
    let other = #expect(throws: BackendError.self) {
      try bench.attach("unix:\(bench.path("file"))")
    }
    #expect(other?.errno == .fileExists)
    #expect(bench.exists("file"))
  }

  @Test("Q11: a backend is swapped while the device runs")
  func swap() throws {
    let first = try connect()
    try bench.attach("file:\(bench.path("file"))")
    #expect(bench.connections == [true, false, true])
    #expect(bench.port.write(Array("to the file".utf8)) == 11)
    #expect(try bench.content(of: "file") == "to the file")
    #expect(first.read() == "")
    #expect(first.hasEnded)
  }
}
