import CAllocationCounter
import CRingFloor
import Glibc
import NVMeDriver
import VFIOUser

/// Random 4 KiB commands through our driver, beside the floor: a bare pair of rings.
///
/// Device and driver are processes that spin on a CPU each.
func benchmarkNVMeCommands(_ report: inout Report) throws {
  report.title("NVMe: random 4 KiB commands, device and driver spinning on CPUs of their own")
  guard let program = NVMeServer.program else {
    return report.line("skipped", "set VFIO_USER to the released program")
  }
  cac_pin(0)
  defer { cac_pin(-1) }
  let depths = [1, 32, 128]
  for depth in depths {
    var floor = Measurement()
    for _ in 0..<5 {
      floor.nanosecondsPerOperation.append(
        crf_nanoseconds(CInt(depth), depth == 1 ? 300_000 : 3_000_000))
    }
    report.line("floor: a bare ring, depth \(depth)", "\(floor.median.duration) an entry")
  }
  let file = try BenchmarkFile(byteCount: 256 << 20)
  defer { file.remove() }
  for storage in ["null:64G", "memory:256M", "file:\(file.path)"] {
    let name = String(storage.prefix { $0 != ":" })
    for doorbells in [NVMeDoorbells.mapped, .trapped] {
      let server = try NVMeServer(
        program, ["--namespace", storage, "--set", "doorbells=\(doorbells.rawValue)"],
        doorbells: doorbells)
      defer { server.end() }
      // Memory is there once it was written.
      if name == "memory" {
        _ = try server.run(.write, depth: 32, milliseconds: 500)
      }
      for pattern in [NVMeLoad.Pattern.randomRead, .randomWrite] {
        for depth in depths {
          let outcome = try median(5) {
            try server.run(pattern, depth: depth, milliseconds: 150)
          }
          let row = "\(name), \(doorbells.rawValue), \(pattern.rawValue), depth \(depth)"
          report.line(row, outcome.text)
          if name == "null", doorbells == .mapped, pattern == .randomRead, depth == 128 {
            let each = outcome.nanosecondsPerCommand
            report.aim("  a command", each.duration, "<= 550 ns", isMet: each <= 550)
            report.aim("  a command, stretch", each.duration, "<= 275 ns", isMet: each <= 275)
          }
        }
      }
    }
  }
}

/// The run of the median rate: the machine is others' too.
private func median(
  _ count: Int, _ body: () throws -> NVMeLoad.Outcome
) rethrows -> NVMeLoad.Outcome {
  var outcomes: [NVMeLoad.Outcome] = []
  for _ in 0..<count { outcomes.append(try body()) }
  return outcomes.sorted { $0.rate < $1.rate }[count / 2]
}

extension NVMeLoad.Outcome {
  fileprivate var text: String {
    let latency = [0.5, 0.99].map { Double(latencies.percentile($0)).duration }
    return "\(nanosecondsPerCommand.duration) a command   \(Int(rate / 1000)) kIOPS   "
      + "p50 \(latency[0])   p99 \(latency[1])"
  }
}

/// A file that is written throughout, so that reads find blocks of it.
struct BenchmarkFile {
  let path = "/tmp/vfio-user-bench-\(getpid()).img"

  init(byteCount: Int) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw Errno(rawValue: errno) }
    defer { close(descriptor) }
    let block = [UInt8](repeating: 0x5a, count: 1 << 20)
    for _ in 0..<(byteCount >> 20) {
      guard write(descriptor, block, block.count) == block.count else {
        throw Errno(rawValue: errno)
      }
    }
  }

  func remove() { unlink(path) }
}
