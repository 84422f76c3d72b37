import DeviceModel
import DeviceProgram
import Glibc
import Testing
import VFIOUser

/// The device of `Examples/Ticker`, driven as a program.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ExampleTests {
  private static let source = contents(Package.root + "/Examples/Ticker/Ticker.swift") ?? ""
  private let period = RegionOffset(0)
  private let count = RegionOffset(4)

  @Test("E20: the example ticks, interrupts, and counts")
  func ticks() throws {
    let server = try Server(program: "Ticker")
    let client = try server.connect()
    let registers = try client.region(at: 0)
    let interrupts = try client.enableInterrupts(index: 0, count: 1)
    try registers.write(UInt32(1), at: period)
    #expect(interrupts[0].wait(timeout: .seconds(60)) != nil)
    try registers.write(UInt32(0), at: period)
    let ticks: UInt32 = try registers.read(at: count)
    #expect(ticks > 0)
    #expect(try registers.read(at: count, as: UInt32.self) == 0)
    #expect(server.program.end() == .exited(0))
  }

  @Test("E20: the example's knob is honoured")
  func knob() throws {
    let server = try Server(program: "Ticker", ["--set", "shortest-period=1000"])
    let client = try server.connect()
    let registers = try client.region(at: 0)
    let interrupts = try client.enableInterrupts(index: 0, count: 1)
    let start = ContinuousClock.now
    try registers.write(UInt32(1), at: period)
    #expect(interrupts[0].wait(timeout: .seconds(60)) != nil)
    #expect(ContinuousClock.now - start >= .milliseconds(1000))
  }

  @Test("Q1: the example is a PCI function that probe understands")
  func probe() throws {
    let server = try Server(program: "Ticker")
    let outcome = try Program.run("vfio-user", ["probe", server.path])
    #expect(outcome.output.contains("  Device: 1234:7163\n"))
  }

  @Test("E8: the example's source holds no protocol or descriptor symbol")
  func hidesTheProtocol() {
    #expect(!Self.source.isEmpty)
    #expect(protocolSymbols(in: Self.source) == [])
  }

  /// What devices say that only sounds like the protocol: words of the NVMe specification, and the kind of
  /// path that a device asks for in its declaration.
  private static let otherWords = [
    "SGLSegmentDescriptor", "SGLDescriptor", "namespaceDescriptors", ".ioeventfd(", "ioeventfd)",
    "an eventfd",
  ]

  @Test(
    "E8: no device of the package names the protocol", arguments: ["Edu", "Gpio", "NVMe", "Serial"])
  func devicesHideTheProtocol(_ folder: String) throws {
    let sources = Package.sources(in: "Sources/EmulatedDevices/\(folder)")
    #expect(!sources.isEmpty)
    for path in sources {
      var text = try #require(contents(path))
      for word in Self.otherWords { text.replace(word, with: "") }
      #expect(protocolSymbols(in: text) == [], "\(path)")
    }
  }

  @Test("E8: every device of the package is looked at")
  func allDevicesHideTheProtocol() throws {
    // Backends are what a device reads from and writes to: files and sockets of the host.
    let folders = Set(
      Package.sources(in: "Sources/EmulatedDevices").compactMap { path in
        path.split(separator: "/EmulatedDevices/").last?.split(separator: "/").dropLast().first
          .map(String.init)
      })
    #expect(folders == ["Backends", "Edu", "Gpio", "NVMe", "Serial"])
  }

  @Test("The example has about 40 lines, the registers' declaration aside")
  func isShort() {
    let lines = Self.source.split(separator: "\n").filter { !$0.allSatisfy(\.isWhitespace) }
    #expect(lines.count <= 60)
  }

  @Test("The README shows the example as it is")
  func readme() {
    let readme = contents(Package.root + "/README.md") ?? ""
    #expect(readme.contains("```swift\n" + Self.source + "```\n"))
  }

  @Test("E20: the example driver reads the first block of a disk", arguments: ["512", "4K"])
  func firstBlock(_ blockSize: String) throws {
    let folder = TemporaryFolder()
    let bytes = (0..<8192).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    let file = try #require(fopen(folder / "disk", "w"))
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    fclose(file)
    let server = try Server(
      "nvme", ["--namespace", "file:" + folder / "disk", "--set", "block-size=\(blockSize)"])
    // Twice: the second driver finds what the first has left.
    for _ in 0..<2 {
      let outcome = try Program.run("FirstBlock", [server.path])
      #expect(outcome.ending == .exited(0), "\(outcome.output)")
      let found = outcome.output.split(whereSeparator: \.isWhitespace).compactMap {
        UInt8($0, radix: 16)
      }
      #expect(found == Array(bytes[..<(blockSize == "512" ? 512 : 4096)]))
    }
  }

  @Test("E20: the example driver says so when the device is no disk")
  func noDisk() throws {
    let server = try Server("edu")
    #expect(try Program.run("FirstBlock", [server.path]).ending == .exited(1))
    #expect(try Program.run("FirstBlock", []).ending == .exited(64))
  }

  @Test("The article on drivers shows the example as it is")
  func article() throws {
    let path = "/Sources/VFIOUser/VFIOUser.docc/WritingADriver.md"
    let article = try #require(contents(Package.root + path))
    let source = flat(contents(Package.root + "/Examples/FirstBlock/DiskDriver.swift") ?? "")
    let blocks = article.split(separator: "```swift\n").dropFirst().compactMap {
      $0.split(separator: "\n```").first
    }
    #expect(blocks.count >= 6)
    for block in blocks { #expect(source.contains(flat(String(block))), "\(block)") }
  }

  /// The lines of a text without their indentation.
  private func flat(_ text: String) -> String {
    text.split(separator: "\n").map { String($0.drop(while: \.isWhitespace)) }
      .joined(separator: "\n")
  }

  /// What a device's source must not need: the protocol's module, sockets, descriptors, messages.
  private func protocolSymbols(in source: String) -> [String] {
    let lines = source.split(separator: "\n").map { line in
      String(line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line)
    }
    let code = lines.joined(separator: "\n")
    return [
      "import VFIOUser", "import Glibc", "import CVFIOUser", "Descriptor", "socket", "Socket",
      "eventfd", "Session", "DeviceServer", "DeviceHost", "MessageHeader", "ServedDevice",
    ].filter { code.contains($0) }
  }
}
