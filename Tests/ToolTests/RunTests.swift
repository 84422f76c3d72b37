import DeviceProgram
import Glibc
import KVMSupport
import Testing

extension Trait where Self == ConditionTrait {
  /// For a test that runs a guest on a virtual CPU of KVM's.
  static var onKVM: Self { .enabled(if: KVM.isAvailable, "KVM cannot be used here") }
}

/// `vfio-user run`: guests with devices of other processes.
@Suite(.serialized, .timeLimit(.minutes(10))) struct RunTests {
  /// How scripts can be run here: in software always, and on KVM where there is one.
  static let ways: [[String]] = KVM.isAvailable ? [[], ["--software"]] : [["--software"]]

  private let folder = TemporaryFolder()

  // MARK: Guests

  /// Writes a guest to a file.
  private func guest(_ name: String, _ bytes: [UInt8]) -> String {
    let path = folder / name
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    _ = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
    close(file)
    return path
  }

  private func script(_ text: String) -> String { guest("guest.script", Array(text.utf8)) }

  /// Finds edu at 00:01.0, places its registers at 0xe0000000, and turns them and bus mastering on.
  private static let placing = """
    config-expect32 00:01.0 0 0x11e81234
    config-write32 00:01.0 0x10 0xe0000000
    config-write16 00:01.0 4 6

    """

  @Test(
    "E1, E4, E6: the example of a script drives edu: registers, DMA, and the interrupt by MSI",
    arguments: ways)
  func edu(_ way: [String]) throws {
    let server = try Server()
    let outcome = try Program.run(
      "vfio-user",
      ["run", "--device", server.path, Package.root + "/Examples/Guests/edu.script"] + way)
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(
      outcome.output == """
        edu has 1 MiB at 0xe0000000
        memory went to edu and back
        the interrupt came
        identification = 0x10000ed
        factorial = 0x375f00

        """)
    #expect(outcome.errors == "")
    // The server is there for the next one.
    #expect(try server.connect().read(.identification) == 0x0100_00ed)
  }

  @Test(
    "E1, E6: a program that comes along drives edu, where the command line puts it",
    .onKVM)
  func eduProgram() throws {
    let server = try Server()
    let outcome = try Program.run("vfio-user", ["run", "--device", "\(server.path)@0:5.0", "edu"])
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.output.hasPrefix("found edu at slot 5\n"), "\(outcome.output)")
    #expect(outcome.output.hasSuffix("12! = 479001600\n"), "\(outcome.output)")
  }

  @Test(
    "E2, E3: programs that come along drive nvme in another process; its paths are shown when they change",
    .onKVM)
  func nvme() throws {
    let server = try Server("nvme", ["--namespace", "memory:4M"])
    for program in ["nvme", "nvme-shadow"] {
      let outcome = try Program.run(
        "vfio-user",
        ["run", "--device", "\(server.path)@0:3.0", "--paths", "--statistics", program])
      #expect(outcome.ending == .exited(0), "\(outcome.errors)")
      #expect(outcome.output.hasPrefix("found an NVMe controller at slot 3\n"))
      #expect(outcome.output.hasSuffix("the controller is shut down\n"), "\(outcome.output)")
      let isShadowed = program == "nvme-shadow"
      #expect(
        outcome.errors.contains("BAR 0 0x1008, writes of 4 bytes: ioeventfd\n") == isShadowed,
        "\(outcome.errors)")
      #expect(
        outcome.errors.contains("BAR 0 before it was reached in another way: ") == isShadowed)
    }
  }

  @Test("E2, E3: the example of a script drives nvme", arguments: ways)
  func nvmeScript(_ way: [String]) throws {
    let server = try Server("nvme", ["--namespace", "memory:4M"])
    let outcome = try Program.run(
      "vfio-user",
      ["run", "--device", server.path, Package.root + "/Examples/Guests/nvme.script"] + way)
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(
      outcome.output == """
        a block is written
        it was read back
        the controller is shut down
        version = 0x10400
        vendor = 0x1234

        """)
  }

  @Test("E6: a script takes edu's interrupt by its pin", arguments: ways)
  func pin(_ way: [String]) throws {
    let server = try Server()
    let script = script(
      Self.placing + """
        config-read8 00:01.0 0x3c -> line
        interrupts
        write32 0xfec00000 0x27
        write32 0xfec00010 0
        write32 0xfec00000 0x26
        write32 0xfec00010 0x8051
        on 0x51 write32 0xe0000064 0x42
        write32 0xe0000060 0x42
        await 0x51
        write32 0xe0000060 0x42
        await 0x51 2
        """)
    let outcome = try Program.run("vfio-user", ["run", "--device", server.path, script] + way)
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.output == "line = 0xb\n")
  }

  @Test("Devices sit where they are put, or at the next free slot", arguments: ways)
  func places(_ way: [String]) throws {
    let servers = [try Server(), try Server("gpio"), try Server("serial")]
    let script = script(
      """
      config-read32 00:01.0 0 -> first
      config-read32 00:1f.0 0 -> last
      config-read32 00:02.0 0 -> next
      config-read32 00:03.0 0 -> none
      """)
    let outcome = try Program.run(
      "vfio-user",
      [
        "run", "--device", servers[0].path, "--device", "\(servers[1].path)@00:1f.0", "--device",
        servers[2].path, script,
      ] + way)
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    let lines = outcome.output.split(separator: "\n")
    #expect(lines.count == 4 && lines.first == "first = 0x11e81234")
    #expect(lines.last == "none = 0xffffffff")
    #expect(!lines[1].hasSuffix("0xffffffff") && !lines[2].hasSuffix("0xffffffff"))
  }

  @Test("A place that is taken, or on another bus, is refused in one line")
  func wrongPlaces() throws {
    let server = try Server()
    let script = script("exit")
    for (place, says) in [("00:00.0", "is taken"), ("01:00.0", "only bus 0")] {
      let outcome = try Program.run(
        "vfio-user", ["run", "--software", "--device", "\(server.path)@\(place)", script])
      #expect(outcome.ending == .exited(64))
      #expect(outcome.errorLines.count == 1 && outcome.errors.contains(says), "\(outcome.errors)")
    }
    let outcome = try Program.run(
      "vfio-user", ["run", "--software", "--device", folder / "none", script])
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1 && outcome.errors.contains(folder / "none"))
  }

  @Test("A script that cannot be understood is refused with its line")
  func wrongScript() throws {
    let outcome = try Program.run("vfio-user", ["run", "--software", script("exit\nfrobnicate\n")])
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1 && outcome.errors.contains("line 2"), "\(outcome.errors)")
  }

  @Test("What a script expected and did not find is told", arguments: ways)
  func expectation(_ way: [String]) throws {
    let outcome = try Program.run(
      "vfio-user", ["run", script("expect32 0xe0000000 1")] + way)
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1 && outcome.errors.contains("limit"), "\(outcome.errors)")
  }

  @Test(
    "V12: a server that is killed leaves all ones and a line, and never hangs the guest",
    arguments: ways)
  func death(_ way: [String]) throws {
    let server = try Server()
    let script = script(
      Self.placing + """
        print "ready\\n"
        poll32 0xe0000000 0xffffffff
        read32 0xe0000000 -> registers
        config-read32 00:01.0 0 -> identity
        """)
    let program = try Program(
      "vfio-user", ["run", "--device", server.path, script] + way, in: folder)
    #expect(program.prints("ready"))
    server.program.end(SIGKILL)
    #expect(program.process.wait(timeout: .seconds(60)) == .exited(0))
    #expect(program.outcome.output == "ready\nregisters = 0xffffffff\nidentity = 0xffffffff\n")
    #expect(program.outcome.errorLines.count == 1, "\(program.outcome.errors)")
    #expect(program.outcome.errors.contains("is lost"))
  }

  /// Starts another server in the place of one that was killed. Nobody connects to see whether it is
  /// ready: the guest does.
  private func serveAgain() throws -> Program {
    try Program("vfio-user", ["serve", "edu", "--socket-path", folder / "socket"], in: .init())
  }

  @Test(
    "V12, E13: with --reconnect a guest waits for its device, whose next process does registers, DMA and interrupts",
    arguments: ways)
  func reconnect(_ way: [String]) throws {
    let server = try Server(in: folder)
    let script = script(
      Self.placing + """
        interrupts
        config-write32 00:01.0 0x44 0xfee00000
        config-write16 00:01.0 0x4c 0x41
        config-write16 00:01.0 0x42 1
        on 0x41 write32 0xe0000064 0x42
        write32 0xe0000004 1
        expect32 0xe0000004 0xfffffffe
        print "ready\\n"
        # A new process has forgotten what was written.
        poll32 0xe0000004 0
        print "again\\n"
        write32 0xe0000004 5
        expect32 0xe0000004 0xfffffffa
        write32 0x80ffc 0xcafe1234
        write64 0xe0000080 0x80000
        write64 0xe0000088 0x40000
        write64 0xe0000090 4096
        write64 0xe0000098 1
        poll64 0xe0000098 0 mask 1
        write64 0xe0000080 0x40000
        write64 0xe0000088 0x90000
        write64 0xe0000098 3
        poll64 0xe0000098 2 mask 3
        expect32 0x90ffc 0xcafe1234
        write32 0xe0000060 0x42
        await 0x41 2
        expect32 0xe0000024 0
        """)
    let program = try Program(
      "vfio-user", ["run", "--device", server.path, script, "--reconnect", "60"] + way)
    #expect(program.prints("ready"))
    server.program.end(SIGKILL)
    #expect(program.waits(for: "is lost"))
    let next = try serveAgain()
    #expect(program.process.wait(timeout: .seconds(60)) == .exited(0), "\(program.outcome.errors)")
    #expect(program.outcome.output == "ready\nagain\n")
    #expect(program.outcome.errors.contains("is back"))
    next.end()
  }

  @Test(
    "V12: with --reconnect a guest waits no longer than that, and a signal ends it while it waits",
    arguments: ways, [false, true])
  func reconnectInVain(_ way: [String], isSignalled: Bool) throws {
    let server = try Server()
    let script = script(
      Self.placing + """
        print "ready\\n"
        poll32 0xe0000004 0xffffffff
        config-read32 00:01.0 0 -> identity
        """)
    let program = try Program(
      "vfio-user",
      ["run", "--device", server.path, script, "--reconnect", isSignalled ? "3600" : "1"] + way)
    #expect(program.prints("ready"))
    server.program.end(SIGKILL)
    #expect(program.waits(for: "is lost"))
    if isSignalled {
      #expect(program.end(SIGTERM) == .exited(128 + SIGTERM))
    } else {
      #expect(program.process.wait(timeout: .seconds(60)) == .exited(0))
      #expect(program.outcome.output == "ready\nidentity = 0xffffffff\n")
      #expect(program.outcome.errors.contains("is given up"))
    }
  }

  @Test("A signal ends a guest that goes on forever", arguments: ways, [SIGTERM, SIGINT])
  func signals(_ way: [String], _ signal: CInt) throws {
    let script = script("print \"ready\\n\"\npoll32 0x80000 1")
    let program = try Program("vfio-user", ["run", script] + way)
    #expect(program.prints("ready"))
    #expect(program.end(signal) == .exited(128 + signal))
    #expect(program.outcome.errors == "")
  }

  @Test("Each CPU runs its script", arguments: ways)
  func cpus(_ way: [String]) throws {
    let script = script(
      "poll32 0x80000 1\nprint \"b\"\nread32 0x80000 -> zero\ncpu 1\nprint \"a\"\nwrite32 0x80000 1"
    )
    let outcome = try Program.run("vfio-user", ["run", script] + way)
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.output == "abzero = 0x1\n")
  }

  @Test("Paths and statistics are shown on standard error", arguments: ways)
  func reports(_ way: [String]) throws {
    let server = try Server()
    let script = script(Self.placing + "read32 0xe0000000 -> id")
    let outcome = try Program.run(
      "vfio-user", ["run", "--device", server.path, "--paths", "--statistics", script] + way)
    #expect(outcome.ending == .exited(0))
    #expect(outcome.output == "id = 0x10000ed\n")
    #expect(outcome.errors.contains("00:01.0 \(server.path)\n"), "\(outcome.errors)")
    #expect(outcome.errors.contains("BAR 0 0x0, 1048576 bytes: message"), "\(outcome.errors)")
    #expect(outcome.errors.contains("message"), "\(outcome.errors)")
  }

  @Test("A program runs on KVM, prints, and gives its status", .onKVM)
  func program() throws {
    // mov $0x3f8, %dx; mov $0x41, %al; out %al, (%dx); mov $9, %al; out %al, $0xf4
    let path = guest("guest.bin", [0x66, 0xba, 0xf8, 0x03, 0xb0, 0x41, 0xee, 0xb0, 9, 0xe6, 0xf4])
    for options in [[], ["--address", "0x200000"], ["--memory", "2M", "--cpus", "1"]] {
      let outcome = try Program.run("vfio-user", ["run", path] + options)
      #expect(outcome.ending == .exited(9), "\(outcome.errors)")
      #expect(outcome.output == "A")
    }
    let outcome = try Program.run("vfio-user", ["run", path, "--address", "0xfff00000"])
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1 && outcome.errors.contains("does not fit"))
  }

  @Test("A program that crashes is told in one line", .onKVM)
  func crash() throws {
    let outcome = try Program.run("vfio-user", ["run", guest("guest.bin", [0x0f, 0x0b])])
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errorLines.count == 1 && outcome.errors.contains("shut down"))
  }
}
