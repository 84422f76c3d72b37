import Glibc
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("File, pseudo-terminal and standard stream backends")
struct StreamBackendTests {
  private let bench: BackendBench

  init() throws { bench = try BackendBench() }

  @Test("Q12: a file is made, and appended to when it is there")
  func file() throws {
    try bench.attach("file:\(bench.path("file"))")
    #expect(bench.port.isConnected)
    #expect(bench.port.write(Array("one ".utf8)) == 4)
    bench.port.detach()
    try bench.attach("file:\(bench.path("file"))")
    #expect(bench.port.write(Array("two".utf8)) == 3)
    #expect(try bench.content(of: "file") == "one two")
  }

  @Test("Q12: a FIFO that nobody reads is refused; one whose reader stops makes the port full")
  func fifo() throws {
    let path = bench.path("fifo")
    // Safety: here and below, the path is terminated for the time of the call.
    #expect(unsafe mkfifo(path, 0o600) == 0)
    let error = #expect(throws: BackendError.self) { try bench.attach("file:\(path)") }
    #expect(error?.errno == .noSuchAddressOrDevice)
    var reader: Peer? = try Peer(adopting: unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC))
    try bench.attach("file:\(path)")
    while !bench.port.isFull { _ = bench.port.write([UInt8](repeating: 7, count: 1000)) }
    reader?.read()
    try bench.wait { bench.spaceCount == 1 }
    while !bench.port.isFull { _ = bench.port.write([UInt8](repeating: 7, count: 1000)) }
    // The reader goes away: no SIGPIPE, and the device is not held up.
    reader = nil
    try bench.wait { !bench.port.isConnected }
    #expect(bench.port.write([1]) == 1)
  }

  @Test("Q12: a pseudo-terminal is connected while somebody has it open")
  func pseudoTerminal() throws {
    var path = ""
    let backend = try BackendSpecification.pty.open(on: bench.loop) { line in
      path = String(line.dropFirst("backend: ".count))
    }
    #expect(path.hasPrefix("/dev/pts/"))
    bench.port.attach(backend)
    try bench.run(for: .milliseconds(5))
    #expect(!bench.port.isConnected)
    for turn in 1...2 {
      var terminal: Peer? = try Peer(terminal: path)
      try bench.wait { bench.port.isConnected }
      try terminal?.send("in\(turn)\r")
      try bench.wait { bench.text.hasSuffix("in\(turn)\r") }
      // Raw: bytes arrive as they are.
      #expect(bench.port.write(Array("out\n\u{3}".utf8)) == 5)
      try bench.wait { terminal?.read() == "out\n\u{3}" }
      terminal = nil
      try bench.wait { !bench.port.isConnected }
    }
  }

  @Test("Q12: standard streams that are pipes pass bytes; the end of input leaves output alone")
  func standardStreams() throws {
    let input = try makePipe()
    let output = try makePipe()
    let host = try Peer(adopting: output.reading)
    var sender: Peer? = try Peer(adopting: input.writing)
    bench.port.attach(
      StandardStreamBackend(
        input: HostStream(adopting: OwnedDescriptor(adopting: input.reading)),
        output: HostStream(adopting: OwnedDescriptor(adopting: output.writing)), loop: bench.loop))
    #expect(bench.port.isConnected)
    try sender?.send("typed")
    try bench.wait { bench.text == "typed" }
    sender = nil
    try bench.run(for: .milliseconds(5))
    #expect(bench.port.isConnected)
    #expect(bench.port.write(Array("shown".utf8)) == 5)
    #expect(host.read() == "shown")
  }

  @Test("Q12: input from a descriptor that cannot be watched ends quietly")
  func deviceNull() throws {
    // Safety: a constant path.
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    let other = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    bench.port.attach(
      StandardStreamBackend(
        input: HostStream(adopting: OwnedDescriptor(adopting: null)),
        output: HostStream(adopting: OwnedDescriptor(adopting: other)), loop: bench.loop))
    try bench.run(for: .milliseconds(5))
    #expect(bench.port.isConnected)
    #expect(bench.port.write([1, 2, 3]) == 3)
  }

  @Test("Q12: an unplugged port takes everything, and counts it")
  func unplugged() {
    let port = CharacterPort()
    #expect(port.write([1, 2, 3]) == 3)
    #expect(port.discardedByteCount == 3)
  }
}
