import CVFIOUserLinux
import DeviceProgram
import Glibc
import Testing
import VFIOUser

/// `--backend`, seen from outside of the device's process.
@Suite(.serialized, .timeLimit(.minutes(10))) struct BackendTests {
  @Test("What the guest sends to serial reaches the file of --backend file:PATH")
  func file() throws {
    let folder = TemporaryFolder()
    let server = try Server("serial", ["--backend", "file:\(folder / "log")"], in: folder)
    try send("hello", to: try server.connect())
    #expect(becomes("hello") { contents(folder / "log") })
    #expect(server.program.end() == .exited(0))
  }

  @Test(
    "serial and a peer of --backend unix:PATH hear each other, and the socket goes with the end")
  func unixSocket() throws {
    let folder = TemporaryFolder()
    let path = folder / "line"
    let server = try Server("serial", ["--backend", "unix:\(path)"], in: folder)
    let peer = OwnedDescriptor(adopting: cvfu_connect(path))
    try #require(peer.rawValue >= 0)
    let client = try server.connect()
    let registers = try client.region(at: 0)
    var received: [UInt8] = []
    // The line is up once the device has taken the connection: bytes before that are lost.
    #expect(
      becomes("x") {
        try? registers.write(UInt8(ascii: "x"), at: RegionOffset(0))
        var byte: UInt8 = 0
        if read(peer.rawValue, &byte, 1) == 1 { received = [byte] }
        return String(decoding: received, as: UTF8.self)
      })
    var letter = UInt8(ascii: "y")
    #expect(write(peer.rawValue, &letter, 1) == 1)
    #expect(
      becomes("y") {
        guard (try? registers.read(at: RegionOffset(5), as: UInt8.self)).map({ $0 & 1 }) == 1
        else { return nil }
        let byte = try? registers.read(at: RegionOffset(0), as: UInt8.self)
        return byte.map { String(UnicodeScalar($0)) }
      })
    #expect(server.program.end() == .exited(0))
    #expect(!exists(path))
  }

  @Test("--backend pty says in the log which terminal to open")
  func pseudoTerminal() throws {
    let server = try Server("serial", ["--backend", "pty"])
    #expect(server.program.waits(for: "/dev/pts/"))
    #expect(server.program.end() == .exited(0))
  }

  /// Writes to the transmit register of a 16550A.
  private func send(_ text: String, to client: DeviceClient) throws {
    let registers = try client.region(at: 0)
    for byte in text.utf8 { try registers.write(byte, at: RegionOffset(0)) }
  }

  /// Whether `value` becomes `text` within a minute.
  private func becomes(_ text: String, _ value: () -> String?) -> Bool {
    for _ in 0..<12_000 {
      if value() == text { return true }
      usleep(5000)
    }
    return false
  }
}
