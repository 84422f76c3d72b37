import CAllocationCounter
import Glibc
import NVMeDriver

/// Instructions that a command takes on each side, counted by callgrind: the same on every machine.
///
/// What spins without finding anything is left out.
func benchmarkNVMeInstructions(_ report: inout Report) throws {
  report.title("NVMe: instructions a command, mapped doorbells, depth 128")
  guard let program = NVMeServer.program else {
    return report.line("skipped", "set VFIO_USER to the released program")
  }
  guard isThere("valgrind"), isThere("objcopy") else {
    return report.line("skipped", "valgrind and objcopy count them")
  }
  let folder = "/tmp/vfio-user-bench-\(getpid())"
  mkdir(folder, 0o700)
  defer { run(["rm", "-r", folder]) }
  // Valgrind does not read this debug information.
  let bare = "\(folder)/vfio-user"
  guard run(["objcopy", "--strip-debug", program, bare]) == 0 else {
    return report.line("skipped", "objcopy failed")
  }
  cac_pin(0)
  defer { cac_pin(-1) }
  let count = 50_000
  for storage in ["null:64G", "memory:256M"] {
    for pattern in [NVMeLoad.Pattern.randomRead, .randomWrite] {
      let name = "\(storage.prefix { $0 != ":" }), \(pattern.rawValue)"
      let bench =
        ["--rw", pattern.rawValue, "--depth", "128", "--commands", "\(count)"]
        + ["--seconds", "100"]
      let device = "\(folder)/device"
      let counted = try NVMeServer(
        bare, ["--namespace", storage], wrapper: callgrind("*QueueGroupC5fetch*", device),
        doorbells: nil)
      let isDone = run([program, "nvme", "bench", counted.path] + bench) == 0
      counted.end()
      let driver = "\(folder)/driver"
      let server = try NVMeServer(program, ["--namespace", storage], doorbells: nil)
      let isDriven =
        run(
          callgrind("$s10NVMeDriver0A4LoadV3run_*", driver) + [bare, "nvme", "bench", server.path]
            + bench)
        == 0
      server.end()
      guard isDone, isDriven, let one = total(device), let other = total(driver) else {
        report.line(name, "callgrind failed")
        continue
      }
      report.line(name, "device \(one / count), driver \(other / count)")
    }
  }
}

private func callgrind(_ function: String, _ file: String) -> [String] {
  [
    "valgrind", "--tool=callgrind", "--quiet", "--callgrind-out-file=\(file)",
    "--toggle-collect=\(function)",
  ]
}

/// Runs a program without output, to its end: its exit code.
@discardableResult
func run(_ command: [String]) -> CInt {
  let quoted = command.map { "'\($0)'" }.joined(separator: " ")
  let status = system("\(quoted) >/dev/null 2>&1")
  return status >> 8 & 0xff
}

/// Whether the shell finds a program.
func isThere(_ program: String) -> Bool {
  system("command -v \(program) >/dev/null") == 0
}

/// The sum that callgrind wrote.
func total(_ path: String) -> Int? {
  guard let file = fopen(path, "r") else { return nil }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 4096)
  while fgets(&line, CInt(line.count), file) != nil {
    let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let text = String(decoding: bytes, as: UTF8.self)
    if text.hasPrefix("totals:") || text.hasPrefix("summary:") {
      return text.split(whereSeparator: { " \n".contains($0) }).dropFirst().first
        .flatMap { Int($0) }
    }
  }
  return nil
}
