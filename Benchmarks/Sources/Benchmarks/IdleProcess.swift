import CAllocationCounter
import Glibc
import VFIOUser

/// The released program with the `gpio` device: how soon it is ready, and what it holds when idle.
func benchmarkIdleProcess(_ report: inout Report) throws {
  report.title("An idle gpio process")
  guard let value = getenv("VFIO_USER") else {
    return report.line("skipped", "set VFIO_USER to the released program")
  }
  let program = String(cString: value)
  let path = "/tmp/vfio-user-bench-\(getpid()).sock"
  var readiness: [Double] = []
  var resident = 0
  for _ in 0..<9 {
    let start = cac_nanoseconds()
    let arguments = [program, "serve", "gpio", "--socket-path", path]
    var list: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for argument in list { free(argument) } }
    var identifier: pid_t = 0
    guard posix_spawn(&identifier, program, nil, nil, &list, environ) == 0 else {
      return report.line("skipped", "\(program) does not start")
    }
    // Ready is when a client gets its answer.
    var client: DeviceClient?
    while client == nil, cac_nanoseconds() - start < 5_000_000_000 {
      client = try? DeviceClient.connect(path: path)
      if client == nil { usleep(200) }
    }
    readiness.append(Double(cac_nanoseconds() - start))
    client?.close()
    usleep(50_000)
    resident = max(resident, residentKilobytes(identifier))
    kill(identifier, SIGTERM)
    waitpid(identifier, nil, 0)
  }
  let median = readiness.sorted()[readiness.count / 2]
  report.aim(
    "first answer after", "\((median / 1e6).text(1)) ms", "< 50 ms", isMet: median < 50e6)
  report.aim(
    "resident memory", "\((Double(resident) / 1024).text(1)) MB", "< 10 MB",
    isMet: resident > 0 && resident < 10 * 1024)
}

private func residentKilobytes(_ process: pid_t) -> Int {
  guard let file = fopen("/proc/\(process)/status", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  while fgets(&line, 256, file) != nil {
    let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let text = String(decoding: bytes, as: UTF8.self)
    if text.hasPrefix("VmRSS:") {
      return text.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
        .flatMap { Int($0) } ?? 0
    }
  }
  return 0
}
