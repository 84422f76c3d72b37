import DeviceModel
import DeviceProgram
import Testing
import VFIOUser

/// The device of `Examples/Ticker`, driven as a program.
@Suite(.serialized, .timeLimit(.minutes(1))) struct ExampleTests {
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
    #expect(interrupts[0].wait(timeout: .seconds(5)) != nil)
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
    try registers.write(UInt32(1), at: period)
    #expect(interrupts[0].wait(timeout: .milliseconds(200)) == nil)
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

  @Test("E8: no device of the package names the protocol", arguments: ["Edu", "Gpio", "Serial"])
  func devicesHideTheProtocol(_ folder: String) {
    for path in Package.sources(in: "Sources/EmulatedDevices/\(folder)") {
      let text = contents(path) ?? ""
      #expect(protocolSymbols(in: text) == [], "\(path)")
    }
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
