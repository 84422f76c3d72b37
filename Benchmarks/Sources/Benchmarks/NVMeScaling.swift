import CAllocationCounter
import NVMeDriver

/// Whether a command costs the same with many queues, each of the same depth, and with many namespaces.
func benchmarkNVMeScaling(_ report: inout Report) throws {
  report.title(
    "NVMe: a command as queues and namespaces grow, null, 32 in flight on each queue")
  guard let program = NVMeServer.program else {
    return report.line("skipped", "set VFIO_USER to the released program")
  }
  cac_pin(0)
  defer { cac_pin(-1) }
  let server = try NVMeServer(program, ["--namespace", "null:64G"])
  defer { server.end() }
  var queues: [Int: Measurement] = [:]
  for _ in 0..<7 {
    for count in [1, 8, 64] {
      let outcome = try server.run(
        .randomRead, depth: 32, queues: count, milliseconds: 150)
      queues[count, default: Measurement()].nanosecondsPerOperation
        .append(outcome.nanosecondsPerCommand)
    }
  }
  let one = queues[1] ?? Measurement()
  report.line("1 queue", "\(one.median.duration) a command")
  for count in [8, 64] {
    let many = queues[count] ?? Measurement()
    let ratio = many.ratio(to: one)
    report.aim(
      "\(count) queues", "\(many.median.duration), \(ratio.text()) times", "<= 1.50",
      isMet: ratio <= 1.5)
  }

  // The cost of many idle queues to a busy one shows in the first figure of the next server, too.
  let crowded = try NVMeServer(
    program, (0..<64).flatMap { _ in ["--namespace", "null:64G"] })
  defer { crowded.end() }
  var first = Measurement()
  var last = Measurement()
  for _ in 0..<7 {
    for (namespace, isFirst) in [(UInt32(1), true), (64, false)] {
      let target = isFirst ? server : crowded
      let outcome = try target.run(
        .randomRead, depth: 128, namespace: namespace, milliseconds: 150)
      if isFirst {
        first.nanosecondsPerOperation.append(outcome.nanosecondsPerCommand)
      } else {
        last.nanosecondsPerOperation.append(outcome.nanosecondsPerCommand)
      }
    }
  }
  let ratio = last.ratio(to: first)
  report.aim(
    "the last of 64 namespaces / the only one", ratio.text(), "<= 1.25", isMet: ratio <= 1.25)
}
