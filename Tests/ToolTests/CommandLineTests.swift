import DeviceProgram
import EmulatedDevices
import Testing
import VFIOUser

/// What programs say to a command line that they cannot obey.
@Suite(.serialized) struct CommandLineTests {
  struct Mistake: CustomTestStringConvertible, Sendable {
    var arguments: [String]
    var code: Int32
    var says: String
    var testDescription: String { arguments.joined(separator: " ") }

    init(_ arguments: String, _ code: Int32, _ says: String) {
      self.arguments = arguments.split(separator: " ").map(String.init)
      self.code = code
      self.says = says
    }
  }

  static let mistakes = [
    Mistake("frobnicate", 64, "see 'vfio-user --help'"),
    Mistake("serve", 64, "<device>"),
    Mistake("serve edu", 64, "--socket-path PATH or --fd N"),
    Mistake("serve edu --fd 3 --socket-path x", 64, "not both"),
    Mistake("serve edu --fd three", 64, "--fd"),
    Mistake("serve edu --fd -1", 64, "--fd"),
    Mistake("serve edu --socket-path", 64, "--socket-path"),
    Mistake("serve edu --socket-path x --poll sometimes", 64, "'never', 'adaptive' or 'always'"),
    Mistake("serve edu --socket-path x --io-engine aio", 64, "'epoll' and 'io_uring'"),
    Mistake("serve edu --socket-path x --on-disconnect forget", 64, "'keep' and 'reset'"),
    Mistake("serve edu --socket-path x --log-level loud", 64, "trace - debug - info"),
    Mistake("serve edu --socket-path x --frobnicate", 64, "--frobnicate"),
    Mistake("serve none --socket-path x", 64, "choose one of: edu"),
    Mistake("serve edu --socket-path x --set speed=9", 64, "it has: dma-mask"),
    Mistake("serve edu --socket-path x --set speed", 64, "NAME=VALUE"),
    Mistake("serve edu --socket-path x --set dma-mask=wide", 64, "takes an integer from 0"),
    Mistake("serve edu --socket-path x --backend stdio", 64, "leave --backend out"),
    Mistake("serve serial --socket-path x --backend carrier-pigeon", 64, "unix:PATH"),
    Mistake("serve serial --socket-path x --backend file:", 64, "needs a path"),
    Mistake("serve serial --socket-path x --backend file:/nonexistent/x", 1, "folder"),
    Mistake("serve edu --socket-path x --namespace memory:1M", 64, "leave --namespace out"),
    Mistake("serve nvme --socket-path x", 64, "nvme needs --namespace SPEC"),
    Mistake("serve nvme --socket-path x --backend stdio", 64, "with --namespace"),
    Mistake("serve nvme --socket-path x --namespace tape:1M", 64, "memory:SIZE"),
    Mistake("serve nvme --socket-path x --namespace memory:1", 64, "multiple of 512"),
    Mistake("serve nvme --socket-path x --namespace file:/nonexistent/x", 1, "no such file"),
    Mistake("serve nvme --socket-path x --namespace file:/dev/null", 1, "nor a block device"),
    Mistake("serve nvme --socket-path x --namespace nbd:nbd://localhost:1", 1, "nbd://localhost:1"),
    Mistake("serve edu --socket-path /nonexistent/x", 1, "make its folder first"),
    Mistake("serve edu --socket-path \(String(repeating: "x", count: 200))", 1, "107 bytes"),
    Mistake("serve edu --fd 1000000", 1, "pass a listening or a connected UNIX socket"),
    Mistake("serve edu --fd 0", 1, "pass a listening or a connected UNIX socket"),
    Mistake("devices none", 64, "choose one of: edu"),
    Mistake("devices --format pdf", 64, "'text', 'markdown' or 'json'"),
    Mistake("probe", 64, "<path>"),
    Mistake("probe /nonexistent/x", 1, "start the server"),
    Mistake("probe x --timeout 0", 64, "1 to 3600"),
    Mistake("run", 64, "<guest>"),
    Mistake("run x --device socket@3", 64, "BUS:DEV.FN"),
    Mistake("run x --device @00:03.0", 64, "BUS:DEV.FN"),
    Mistake("run x --memory lots", 64, "K, M or G"),
    Mistake("run x --memory 1M", 64, "2M to 3G"),
    Mistake("run x --memory 99999999999G", 64, "2M to 3G"),
    Mistake("run x --cpus 0", 64, "1 to 64"),
    Mistake("run x --address here", 64, "hexadecimal"),
    Mistake("run x --reconnect -1", 64, "--reconnect"),
    Mistake("run x.script --address 0x1000", 64, "for programs"),
    Mistake("run x --software", 64, "end with .script"),
    Mistake("run /nonexistent/x", 1, "No such file"),
    Mistake("run /nonexistent/x.script", 1, "No such file"),
    Mistake("run /dev/null", 1, "is no file"),
  ]

  @Test("E20: a wrong command line gives one line that says what to do", arguments: mistakes)
  func mistake(_ mistake: Mistake) throws {
    let outcome = try Program.run("vfio-user", mistake.arguments)
    #expect(outcome.ending == .exited(mistake.code))
    #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
    #expect(outcome.errors.hasPrefix("vfio-user: "))
    #expect(outcome.errors.contains(mistake.says), "\(outcome.errors)")
    #expect(outcome.output == "")
  }

  @Test("E20: a program of one's own has the same options as the tool")
  func sameOptions() throws {
    let tool = try Program.run("vfio-user", ["serve", "--help"])
    let own = try Program.run("Ticker", ["--help"])
    #expect(tool.ending == .exited(0) && own.ending == .exited(0))
    #expect(options(tool.output) == options(own.output))
    #expect(options(own.output).count == 10)
    #expect(own.output.contains("shortest-period (integer from 1 to 1000; default 1)"))
  }

  @Test("E20: a program of one's own refuses wrong arguments in one line")
  func ownProgram() throws {
    let outcome = try Program.run("Ticker", ["--socket-path", "x", "--set", "speed=1"])
    #expect(outcome.ending == .exited(64))
    #expect(outcome.errors == "ticker: ticker has no knob \"speed\"; it has: shortest-period\n")
  }

  @Test(
    "E20: help and version of every command go to standard output",
    arguments: [
      ["--help"], ["serve", "--help"], ["devices", "--help"], ["probe", "--help"],
      ["run", "--help"],
      ["demo", "--help"], ["nvme", "--help"], ["nvme", "identify", "--help"],
      ["nvme", "read", "--help"], ["nvme", "write", "--help"], ["nvme", "trim", "--help"],
      ["nvme", "bench", "--help"],
    ])
  func help(_ arguments: [String]) throws {
    let outcome = try Program.run("vfio-user", arguments)
    #expect(outcome.ending == .exited(0))
    #expect(outcome.errors == "")
    #expect(outcome.output.contains("USAGE: vfio-user"))
  }

  /// The long options of a help text, with their placeholders.
  private func options(_ help: String) -> [String] {
    help.split(separator: "\n").compactMap { line in
      guard let start = line.firstRange(of: "--"), line.hasPrefix("  ") else { return nil }
      guard line[..<start.lowerBound].allSatisfy({ " -h,".contains($0) }) else { return nil }
      return line[start.lowerBound...].split(separator: " ", omittingEmptySubsequences: false)
        .prefix { !$0.isEmpty }.joined(separator: " ")
    }
  }
}
