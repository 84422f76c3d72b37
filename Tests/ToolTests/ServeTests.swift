import CVFIOUserLinux
import DeviceProgram
import EmulatedDevices
import Glibc
import Testing
import VFIOUser

/// A device program from its start to its end, over real sockets.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ServeTests {
  // MARK: Start and end

  @Test(
    "E20: every device listens, serves, ends on SIGTERM and removes its socket",
    arguments: DeviceCatalogue.names)
  func everyDevice(_ name: String) throws {
    let needs = name == "nvme" ? ["--namespace", "memory:1M"] : []
    let server = try Server(name, needs)
    let client = try server.connect()
    let identity: UInt32 = try client.region(at: 7).read(at: RegionOffset(0))
    #expect(identity != 0 && identity != .max)
    #expect(server.program.end() == .exited(0))
    #expect(!exists(server.path))
    #expect(server.program.outcome.output == "")
  }

  @Test("E20: a program of one's own does the same")
  func ownProgram() throws {
    let server = try Server(program: "Ticker")
    #expect(server.program.end() == .exited(0))
    #expect(!exists(server.path))
  }

  @Test("E20: SIGINT and SIGHUP end a program as SIGTERM does", arguments: [SIGINT, SIGHUP])
  func otherSignals(_ signal: CInt) throws {
    let server = try Server()
    #expect(server.program.end(signal) == .exited(0))
    #expect(!exists(server.path))
  }

  @Test("E20: the program stays in the foreground and says when it listens")
  func foreground() throws {
    let server = try Server()
    #expect(server.program.waits(for: "notice edu: listening on \(server.path)\n"))
    #expect(server.program.process.ending == nil)
  }

  @Test("E20: SIGTERM with a client that is connected ends the connection")
  func clientSeesTheEnd() throws {
    let server = try Server()
    let client = try server.connect()
    #expect(server.program.end() == .exited(0))
    let error = #expect(throws: ClientError.self) { _ = try client.read(.identification) }
    #expect(error?.code == .disconnected)
  }

  // MARK: Sockets

  @Test("A stale socket is replaced")
  func staleSocket() throws {
    let folder = TemporaryFolder()
    var server = try Server(in: folder)
    #expect(server.program.end(SIGKILL) == .killed(SIGKILL))
    #expect(exists(server.path))
    server = try Server(in: folder)
    #expect(server.program.end() == .exited(0))
    #expect(!exists(server.path))
  }

  @Test("A live socket is refused, and left alone")
  func liveSocket() throws {
    let server = try Server()
    let second = try Program.run("vfio-user", ["serve", "edu", "--socket-path", server.path])
    #expect(second.ending == .exited(1))
    #expect(second.errorLines.count == 1)
    #expect(second.errors.contains("in use by a running process"))
    #expect(try server.connect().read(.identification) == 0x0100_00ed)
  }

  @Test("A file that is no socket is refused, and left alone")
  func otherFile() throws {
    let folder = TemporaryFolder()
    let path = folder / "file"
    close(creat(path, 0o600))
    let outcome = try Program.run("vfio-user", ["serve", "edu", "--socket-path", path])
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1)
    #expect(outcome.errors.contains("no socket"))
    #expect(exists(path))
  }

  @Test("E20: an inherited listening socket is served, and its file is left alone")
  func inheritedListener() throws {
    let folder = TemporaryFolder()
    let path = folder / "socket"
    let socket = OwnedDescriptor(adopting: cvfu_listen(path, 4))
    let program = try Program(
      "vfio-user", ["serve", "edu", "--fd", "5"], in: folder, descriptors: [5: socket.rawValue])
    for _ in 0..<2 {
      let client = try DeviceClient.connect(path: path)
      #expect(try client.read(.identification) == 0x0100_00ed)
      client.close()
    }
    #expect(program.end() == .exited(0))
    #expect(exists(path))
  }

  @Test("E20: an inherited connection is served, and the program ends with it")
  func inheritedConnection() throws {
    let pair = try SocketPair()
    let program = try Program(
      "vfio-user", ["serve", "edu", "--fd", "3"], descriptors: [3: pair.second.rawValue])
    let client = try DeviceClient.connect(adopting: try pair.first.duplicate())
    #expect(try client.read(.identification) == 0x0100_00ed)
    _ = consume pair
    client.close()
    #expect(program.process.wait(timeout: .seconds(60)) == .exited(0))
  }

  // MARK: Clients

  @Test("V10: a second client is refused with EBUSY while the first is served")
  func secondClient() throws {
    let server = try Server()
    let first = try server.connect()
    let error = #expect(throws: ClientError.self) { _ = try server.connect() }
    #expect(error?.code == .rejected && error?.errno == .resourceBusy)
    #expect(try first.read(.identification) == 0x0100_00ed)
  }

  @Test("V11: the next client finds the device's state")
  func stateIsKept() throws {
    let server = try Server()
    let client = try server.connect()
    try client.write(0x5555_0000, to: .liveness)
    client.close()
    #expect(try server.connect().read(.liveness) == 0xaaaa_ffff)
  }

  @Test("V11: with --on-disconnect reset the next client finds the device as after power-on")
  func stateIsReset() throws {
    let server = try Server("edu", ["--on-disconnect", "reset"])
    let client = try server.connect()
    try client.write(0x5555_0000, to: .liveness)
    client.close()
    #expect(try server.connect().read(.liveness) == 0)
  }

  // MARK: Options

  @Test("Q7: a knob set on the command line reaches the device")
  func knob() throws {
    let server = try Server("edu", ["--set", "factorial-microseconds=9000000"])
    let client = try server.connect()
    try client.write(5, to: .factorial)
    #expect(try client.read(.status) & 1 == 1)
  }

  @Test("Each way to poll serves", arguments: PollingMode.allCases)
  func polling(_ mode: PollingMode) throws {
    let server = try Server("edu", ["--poll", mode.rawValue])
    #expect(try server.connect().read(.identification) == 0x0100_00ed)
    #expect(server.program.end() == .exited(0))
  }

  @Test("The log level decides what is logged")
  func logLevel() throws {
    let quiet = try Server("edu", ["--log-level", "error"])
    #expect(quiet.program.end() == .exited(0))
    #expect(quiet.program.outcome.errors == "")
    let chatty = try Server("edu", ["--log-level", "info"])
    #expect(chatty.program.waits(for: "info edu: client connected"))
    #expect(chatty.program.end() == .exited(0))
    #expect(chatty.program.outcome.errorLines.allSatisfy { $0.contains("Z ") })
  }

  @Test("SIGPIPE does not end the program: a client may leave without reading its replies")
  func rudeClient() throws {
    let server = try Server()
    for _ in 0..<5 {
      let client = try server.connect()
      let registers = try client.region(at: 0)
      for _ in 0..<200 { _ = try registers.startRead(at: RegionOffset(0), byteCount: 4) }
      client.close()
    }
    #expect(try server.connect().read(.identification) == 0x0100_00ed)
  }
}
