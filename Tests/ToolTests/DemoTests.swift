import DeviceProgram
import Glibc
import Testing

/// `vfio-user demo`.
@Suite(.timeLimit(.minutes(10))) struct DemoTests {
  @Test("E4: the demo drives edu and nvme in processes of their own and leaves nothing behind")
  func demo() throws {
    let folder = TemporaryFolder()
    setenv("TMPDIR", folder.path, 1)
    defer { unsetenv("TMPDIR") }
    let outcome = try Program.run("vfio-user", ["demo"])
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.errors == "")
    let lines = outcome.output.split(separator: "\n")
    for step in [
      "start and connect", "identify", "factorial", "DMA to the device, mapped",
      "DMA from the device, mapped", "DMA to the device, by message",
      "DMA from the device, by message", "interrupt", "stop", "start and attach", "write",
      "copy, by the device itself", "flush", "read the copy", "verify", "read at random", "trim",
      "shut down and stop", "make a machine, attach edu", "run the guest", "accesses to edu",
    ] {
      let line = lines.first { $0.hasPrefix("  \(step) ") }
      #expect(line?.contains(" ms  ") == true, "no time for \"\(step)\"")
    }
    #expect(outcome.output.contains("10! = 3628800"))
    #expect(lines.contains { $0.hasPrefix("    guest: ") }, "\(outcome.output)")
    let processIDs = outcome.output.split(separator: " ").filter { $0.hasSuffix(",") }
      .compactMap { Int32($0.dropLast()) }.filter { $0 > 1 }
    #expect(processIDs.count >= 2)
    for processID in processIDs.prefix(2) {
      #expect(kill(processID, 0) == -1 && errno == ESRCH)
    }
    #expect(rmdir(folder.path) == 0, "the demo has left something in \(folder.path)")
  }

  @Test("E4: the demo's data is the same after a copy, and its space is free after a trim")
  func disk() throws {
    let outcome = try Program.run("vfio-user", ["demo", "--software"])
    #expect(outcome.output.contains("a guest in software, edu in a process of its own:"))
    #expect(outcome.output.contains("    guest: its interrupt came as a message\n"))
    func sum(_ step: String) -> Substring? {
      let line = outcome.output.split(separator: "\n").first { $0.hasPrefix("  \(step) ") }
      return line?.split(separator: "checksum ").last?.prefix { $0 != "," }
    }
    func size(_ step: String) -> Int? {
      let line = outcome.output.split(separator: "\n").last { $0.hasPrefix("  \(step) ") }
      return line?.split(separator: "the file takes ").last?.split(separator: " ").first
        .flatMap { Int($0) }
    }
    let written = try #require(sum("write"))
    #expect(written.hasPrefix("0x"))
    #expect(sum("verify") == written)
    let full = try #require(size("flush"))
    // Twice 8 MiB: the data and its copy.
    #expect(full >= 16_384)
    // A file system that cannot punch holes says so instead.
    if let trimmed = size("trim") { #expect(trimmed < full / 2) }
  }
}
