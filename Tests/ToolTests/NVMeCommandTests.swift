import DeviceProgram
import Glibc
import Testing
import VFIOUser

/// `vfio-user nvme`: a driver for people, against a served device.
@Suite(.serialized, .timeLimit(.minutes(10))) struct NVMeCommandTests {
  private func serve(_ arguments: String = "--namespace memory:4M") throws -> Server {
    try Server("nvme", arguments.split(separator: " ").map(String.init))
  }

  private func nvme(
    _ server: Server, _ arguments: String, input: String? = nil
  ) throws -> Program.Outcome {
    var words = arguments.split(separator: " ").map(String.init)
    words.insert(server.path, at: 1)
    return try Program.run("vfio-user", ["nvme"] + words, input: input)
  }

  private func text(_ byteCount: Int) -> String {
    String(
      decoding: (0..<byteCount).map { UInt8(ascii: "a") + UInt8(($0 * 7 + $0 / 512) % 26) },
      as: UTF8.self)
  }

  @Test("identify shows the controller and its namespaces")
  func identify() throws {
    let server = try serve(
      "--namespace memory:4M --namespace null:1G --set serial=S123 --set mdts=5")
    let outcome = try nvme(server, "identify")
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.errors == "")
    for line in [
      "  Serial number: S123", "  Version: 1.4.0", "  Queues: up to 4096 entries",
      "  Transfers: up to 128 KiB", "  Doorbells: by messages", "Namespace 1",
      "  Size: 8192 blocks of 512 bytes", "Namespace 2", "  Size: 2097152 blocks of 512 bytes",
      "  Write protected: no",
    ] {
      #expect(outcome.output.contains(line + "\n"), "\(line) is not in \(outcome.output)")
    }
  }

  @Test("identify --format json says the same to programs")
  func identifyJSON() throws {
    let server = try serve("--namespace memory:4M --set serial=S123")
    let outcome = try nvme(server, "identify --format json")
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    let value = try #require(
      JSONParser.parse(Array(outcome.output.dropLast().utf8)).objectValue)
    #expect(value["serial"] == .string("S123"))
    #expect(value["mapped_doorbells"] == .bool(false))
    guard case .array(let namespaces)? = value["namespaces"] else {
      Issue.record("no namespaces in \(outcome.output)")
      return
    }
    #expect(namespaces.count == 1)
    #expect(namespaces.first?.objectValue?["blocks"] == .integer(8192))
    #expect(namespaces.first?.objectValue?["block_bytes"] == .integer(512))
  }

  @Test("E4: what write takes from standard input, read gives back, filled up with zeros")
  func writeAndRead() throws {
    let server = try serve()
    let input = text(300_000)
    let written = try nvme(server, "write --block 7", input: input)
    #expect(written.ending == .exited(0), "\(written.errors)")
    #expect(written.output == "" && written.errors == "")
    let read = try nvme(server, "read --block 7 --count 587")
    #expect(read.ending == .exited(0), "\(read.errors)")
    let rest = 587 * 512 - input.utf8.count
    #expect(read.output == input + String(repeating: "\0", count: rest))
    let before = try nvme(server, "read --block 6")
    #expect(before.output == String(repeating: "\0", count: 512))
  }

  @Test("What was written to a file is in the file, and what was trimmed is not")
  func trim() throws {
    let folder = TemporaryFolder()
    let path = folder / "disk"
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    #expect(ftruncate(file, 1 << 20) == 0)
    close(file)
    let server = try Server("nvme", ["--namespace", "file:\(path)"], in: folder)
    let input = text(8192)
    #expect(try nvme(server, "write", input: input).ending == .exited(0))
    #expect(contents(path)?.hasPrefix(input + "\0") == true)
    let outcome = try nvme(server, "trim --block 4 --count 8")
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    let left = String(input.prefix(2048)) + String(repeating: "\0", count: 4096)
    #expect(
      try nvme(server, "read --count 16").output == left + String(input.dropFirst(6144)))
    #expect(contents(path)?.hasPrefix(left + String(input.dropFirst(6144))) == true)
  }

  @Test("A namespace is chosen, and a folder that holds cntrl does for a path")
  func namespaces() throws {
    let folder = TemporaryFolder()
    let server = try Server(
      "nvme", ["--namespace", "memory:1M", "--namespace", "memory:1M"], in: folder)
    #expect(symlink(server.path, folder / "cntrl") == 0)
    let input = text(512)
    let written = try Program.run(
      "vfio-user", ["nvme", "write", folder.path, "--namespace", "2"], input: input)
    #expect(written.ending == .exited(0), "\(written.errors)")
    #expect(try nvme(server, "read --namespace 2").output == input)
    #expect(try nvme(server, "read").output == String(repeating: "\0", count: 512))
  }

  @Test(
    "bench carries out as many commands as it is told to, and prints one line",
    arguments: [
      "--rw randread --doorbells trapped", "--rw randwrite --doorbells shadow --depth 16",
      "--rw read --queues 3 --depth 5", "--rw write --block-size 131072 --depth 2",
      "--rw randread --doorbells ioregionfd --queues 2", "--rw write --doorbells ioeventfd",
    ])
  func bench(_ arguments: String) throws {
    let server = try serve("--namespace memory:4M --set queue-threads=1")
    let outcome = try nvme(server, "bench --commands 1000 --seconds 60 \(arguments)")
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.errors == "")
    #expect(outcome.output.split(separator: "\n").count == 1)
    #expect(outcome.output.contains(" IOPS, ") && outcome.output.contains("p99 "))
    let path =
      ["ioregionfd", "ioeventfd", "shadow"].first { arguments.contains($0) } ?? "messages"
    #expect(outcome.output.contains(", doorbells by ") && outcome.output.contains(path))
    let isRead = arguments.contains("read")
    let counted = try nvme(server, "identify").output
    #expect(
      counted.contains(
        isRead ? "Read: 1000 commands, written: 0" : "Read: 0 commands, written: 1000"))
  }

  @Test("E3: bench rings mapped doorbells of a device that polls")
  func benchMapped() throws {
    let server = try serve("--namespace null:1G --poll always")
    let outcome = try nvme(
      server, "bench --commands 5000 --seconds 60 --depth 32 --doorbells mapped")
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.output.hasPrefix("randread 4096 bytes, depth 32, 1 queue: "))
  }

  static let refusals: [(arguments: String, says: String)] = [
    ("read --block 8192", "LBA Out of Range"),
    ("read --block 8000 --count 1000", "LBA Out of Range"),
    ("read --block 18446744073709551615 --count 2", "no 2 blocks from 18446744073709551615"),
    ("read --namespace 9", "Invalid Namespace or Format"),
    ("write --namespace 0", "Invalid Namespace or Format"),
    ("write --block 8192", "LBA Out of Range"),
    ("write --namespace 2", "Namespace is Write Protected"),
    ("trim --block 8190 --count 3", "LBA Out of Range"),
    ("trim --namespace 2 --count 1", "Namespace is Write Protected"),
    ("bench --namespace 9", "Invalid Namespace or Format"),
    ("bench --namespace 2 --rw write --commands 1", "1 of 1 commands failed"),
    ("bench --queues 64 --depth 4095 --block-size 512 --doorbells mapped", "be mapped"),
    ("bench --depth 5000", "2 to 4096 entries, not 5001"),
  ]

  @Test("What the device refuses is one line that says what and why")
  func refusals() throws {
    let folder = TemporaryFolder()
    let path = folder / "disk"
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    #expect(ftruncate(file, 1 << 20) == 0)
    close(file)
    let server = try Server(
      "nvme", ["--namespace", "memory:4M", "--namespace", "file:\(path),readonly=on"], in: folder)
    for refusal in Self.refusals {
      let outcome = try nvme(server, refusal.arguments, input: "x")
      #expect(outcome.ending == .exited(1), "\(refusal.arguments)")
      #expect(outcome.errorLines.count == 1, "\(refusal.arguments): \(outcome.errors)")
      #expect(outcome.errors.hasPrefix("vfio-user: nvme: "), "\(outcome.errors)")
      #expect(outcome.errors.contains(refusal.says), "\(refusal.arguments): \(outcome.errors)")
    }
    // The device has taken no harm.
    #expect(try nvme(server, "read").ending == .exited(0))
  }

  @Test("Blocks of 4096 bytes: a command of another size is refused, one that fits is not")
  func largeBlocks() throws {
    let server = try serve("--namespace memory:4M --set block-size=4K")
    let refused = try nvme(server, "bench --block-size 1536")
    #expect(refused.ending == .exited(1))
    #expect(refused.errors.contains("do not fit blocks of 4096"), "\(refused.errors)")
    #expect(try nvme(server, "write --block 1023", input: "x").ending == .exited(0))
    #expect(
      try nvme(server, "read --block 1023").output == "x" + String(repeating: "\0", count: 4095))
  }

  @Test("Another device than NVMe is refused in one line")
  func otherDevice() throws {
    let server = try Server("edu")
    let outcome = try nvme(server, "identify")
    #expect(outcome.ending == .exited(1))
    #expect(outcome.errors.contains("no NVMe controller"), "\(outcome.errors)")
    #expect(outcome.errorLines.count == 1)
  }

  static let mistakes = [
    CommandLineTests.Mistake("nvme frobnicate", 64, "see 'vfio-user nvme --help'"),
    CommandLineTests.Mistake("nvme identify", 64, "<path>"),
    CommandLineTests.Mistake("nvme identify /nonexistent/x", 1, "/nonexistent/x"),
    CommandLineTests.Mistake("nvme identify x --format pdf", 64, "'text' and 'json'"),
    CommandLineTests.Mistake("nvme identify x --frobnicate", 64, "--frobnicate"),
    CommandLineTests.Mistake("nvme read x --count 0", 64, "--count takes 1 or more"),
    CommandLineTests.Mistake("nvme read x --count many", 64, "--count"),
    CommandLineTests.Mistake("nvme read x --block -1", 64, "--block"),
    CommandLineTests.Mistake("nvme read x --namespace -1", 64, "--namespace"),
    CommandLineTests.Mistake("nvme write", 64, "<path>"),
    CommandLineTests.Mistake("nvme write /nonexistent/x", 1, "/nonexistent/x"),
    CommandLineTests.Mistake("nvme trim x", 64, "--count"),
    CommandLineTests.Mistake("nvme trim x --count 4294967296", 64, "--count"),
    CommandLineTests.Mistake("nvme bench x --rw sideways", 64, "'randread', 'randwrite'"),
    CommandLineTests.Mistake("nvme bench x --depth 0", 64, "--depth takes 1 to 65535"),
    CommandLineTests.Mistake("nvme bench x --queues 65", 64, "--queues takes 1 to 64"),
    CommandLineTests.Mistake("nvme bench x --block-size 1000", 64, "a multiple of 512"),
    CommandLineTests.Mistake("nvme bench x --seconds 0", 64, "more than 0"),
    CommandLineTests.Mistake("nvme bench x --commands 0", 64, "--commands takes 1 or more"),
    CommandLineTests.Mistake("nvme bench x --doorbells silent", 64, "- auto - mapped"),
  ]

  @Test("E20: a wrong command line gives one line that says what to do", arguments: mistakes)
  func mistake(_ mistake: CommandLineTests.Mistake) throws {
    try CommandLineTests().mistake(mistake)
  }
}
