import CVFIOUserLinux
import DeviceProgram
import Testing
import VFIOUser

/// `vfio-user probe` against servers of every kind.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ProbeTests {
  @Test("probe prints identity, regions, interrupts and decoded configuration space")
  func text() throws {
    let server = try Server()
    let outcome = try Program.run("vfio-user", ["probe", server.path])
    #expect(outcome.ending == .exited(0))
    #expect(outcome.errors == "")
    for line in [
      "Socket: \(server.path)", "Device: PCI, resettable, 9 regions, 5 interrupt types",
      "  0 BAR 0: 1 MiB, read, write", "    path at 0x0: 1 MiB, message",
      "  7 Configuration: 256 bytes, read, write",
      "  0 INTx: 1, eventfd, maskable, automasked", "  1 MSI: 1, eventfd, maskable",
      "  Device: 1234:11e8", "Capability [40] MSI",
    ] {
      #expect(outcome.output.contains(line + "\n"), "no line \"\(line)\"")
    }
    #expect(outcome.output.contains("max_data_xfer_size 1048576"))
    #expect(outcome.output.contains("[size=1M]"))
  }

  @Test("probe --json prints one line that a parser takes")
  func json() throws {
    let server = try Server()
    let outcome = try Program.run("vfio-user", ["probe", "--json", server.path])
    #expect(outcome.ending == .exited(0))
    #expect(outcome.output.split(separator: "\n").count == 1)
    let object = try #require(
      JSONParser.parse(Array(outcome.output.dropLast().utf8)).objectValue)
    #expect(object["path"] == .string(server.path))
    #expect(object["device"]?.objectValue?["pci"] == .bool(true))
    #expect(object["capabilities"]?.objectValue?["max_msg_fds"] == .integer(253))
    guard case .array(let regions) = object["regions"],
      case .array(let interrupts) = object["interrupts"]
    else { return #expect(Bool(false), "regions and interrupts are arrays") }
    #expect(regions.count == 9 && interrupts.count == 5)
    #expect(regions[0].objectValue?["byte_count"] == .integer(1 << 20))
    let paths = regions[0].objectValue?["paths"]?.objectValue
    let part: [String: JSONValue] = [
      "offset": .integer(0), "byte_count": .integer(1 << 20), "path": .string("message"),
    ]
    #expect(paths?["parts"] == .array([.object(part)]))
    #expect(paths?["fallbacks"] == .array([]))
    guard case .string(let bytes) = object["configuration"]?.objectValue?["bytes"] else {
      return #expect(Bool(false), "the bytes of configuration space are a string")
    }
    #expect(bytes.count == 512 && bytes.hasPrefix("3412e811"))
  }

  @Test("probe shows by which path each range is reached, with and without a mailbox")
  func paths() throws {
    let server = try Server("edu", ["--set", "path=ioregionfd"])
    let outcome = try Program.run("vfio-user", ["probe", server.path])
    #expect(outcome.ending == .exited(0))
    let lines = outcome.output.split(separator: "\n").filter { $0.contains("path at") }
    let first = lines.first ?? ""
    let isReached = ["mailbox", "ioregionfd"].contains { first.hasSuffix("0x0: 1 MiB, " + $0) }
    #expect(isReached, "\(lines)")
    #expect(!outcome.output.contains("not used"), "\(outcome.output)")
    #expect(outcome.output.contains("--no-extensions shows the paths without"))
  }

  @Test("probe --no-extensions shows what a monitor without them gets")
  func withoutExtensions() throws {
    let server = try Server("edu", ["--set", "path=ioregionfd"])
    let outcome = try Program.run("vfio-user", ["probe", server.path, "--no-extensions"])
    #expect(outcome.ending == .exited(0))
    #expect(outcome.output.contains("path at 0x0: 1 MiB, ioregionfd\n"), "\(outcome.output)")
    #expect(!outcome.output.contains("mailbox"), "\(outcome.output)")
    for (options, usesThem) in [([], true), (["--no-extensions"], false)] {
      let outcome = try Program.run("vfio-user", ["probe", server.path, "--json"] + options)
      let report = try JSONParser.parse(Array(outcome.output.dropLast().utf8)).objectValue
      #expect(report?["uses_extensions"] == .bool(usesThem))
    }
  }

  @Test("probe leaves the device as it is, and the server to the next client")
  func harmless() throws {
    let server = try Server()
    let client = try server.connect()
    try client.write(0x5555_0000, to: .liveness)
    client.close()
    #expect(try Program.run("vfio-user", ["probe", server.path]).ending == .exited(0))
    #expect(try server.connect().read(.liveness) == 0xaaaa_ffff)
  }

  @Test("probe of a server that is in use says so")
  func inUse() throws {
    let server = try Server()
    let client = try server.connect()
    let outcome = try Program.run("vfio-user", ["probe", server.path])
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1)
    #expect(outcome.errors.contains("another client is connected"), "\(outcome.errors)")
    client.close()
  }

  @Test("probe gives up on a server that never answers")
  func silent() throws {
    let folder = TemporaryFolder()
    let socket = OwnedDescriptor(adopting: cvfu_listen(folder / "socket", 4))
    let outcome = try Program.run("vfio-user", ["probe", folder / "socket", "--timeout", "1"])
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1)
    #expect(outcome.errors.contains("did not reply in time"), "\(outcome.errors)")
    _ = consume socket
  }

  @Test("probe takes a folder with a socket named cntrl")
  func folder() throws {
    let folder = TemporaryFolder()
    let program = try Program(
      "vfio-user", ["serve", "edu", "--socket-path", folder / "cntrl"], in: folder)
    #expect(program.waits(for: "listening"))
    let outcome = try Program.run("vfio-user", ["probe", folder.path])
    #expect(outcome.ending == .exited(0))
    #expect(outcome.output.hasPrefix("Socket: \(folder / "cntrl")\n"))
  }
}
