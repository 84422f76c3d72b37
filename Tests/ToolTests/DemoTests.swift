import DeviceProgram
import Glibc
import Testing

/// `vfio-user demo`.
@Suite(.timeLimit(.minutes(1))) struct DemoTests {
  @Test("E4: the demo drives edu in its own process and leaves nothing behind")
  func demo() throws {
    let outcome = try Program.run("vfio-user", ["demo"])
    #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    #expect(outcome.errors == "")
    for step in [
      "start and connect", "identify", "factorial", "DMA to the device, mapped",
      "DMA from the device, mapped", "DMA to the device, by message",
      "DMA from the device, by message", "interrupt", "stop",
    ] {
      let line = outcome.output.split(separator: "\n").first { $0.hasPrefix("  \(step) ") }
      #expect(line?.contains(" ms  ") == true, "no time for \"\(step)\"")
    }
    #expect(outcome.output.contains("10! = 3628800"))
    let word = outcome.output.split(separator: " ").first {
      $0.hasSuffix(",") && Int32($0.dropLast()) != nil
    }
    let processID = try #require(word.flatMap { Int32($0.dropLast()) })
    #expect(kill(processID, 0) == -1 && errno == ESRCH)
  }
}
