import Glibc
import VFIOUser

/// Instructions that a register read takes on each side by message and by ioregionfd, counted by
/// callgrind: the same on every machine.
///
/// Each side runs under it with two numbers of reads; the difference leaves start and end out.
func benchmarkPathInstructions(_ report: inout Report) throws {
  report.title("Instructions a register read takes, both sides blocking")
  guard isThere("valgrind"), isThere("objcopy") else {
    return report.line("skipped", "valgrind and objcopy count them")
  }
  let folder = "/tmp/vfio-user-paths-\(getpid())"
  mkdir(folder, 0o700)
  defer { run(["rm", "-r", folder]) }
  // Valgrind does not read this debug information.
  let program = "\(folder)/benchmarks"
  guard run(["objcopy", "--strip-debug", "/proc/\(getpid())/exe", program]) == 0 else {
    return report.line("skipped", "objcopy failed")
  }
  var sums: [String: Int] = [:]
  for path in ["message", "ioregionfd", "mailbox"] {
    guard let monitor = count(path, .monitor, program, folder),
      let device = count(path, .device, program, folder)
    else {
      report.line(path, "callgrind failed")
      continue
    }
    sums[path] = monitor + device
    report.line(path, "monitor \(monitor), device \(device)")
  }
  guard let message = sums["message"], let descriptor = sums["ioregionfd"] else { return }
  report.aim(
    "ioregionfd / message", (Double(descriptor) / Double(message)).text(), "<= 1.00",
    isMet: descriptor <= message)
}

private enum Side { case monitor, device }

private func count(_ path: String, _ side: Side, _ program: String, _ folder: String) -> Int? {
  let file = "\(folder)/\(path)"
  let valgrind = "valgrind --tool=callgrind --quiet --callgrind-out-file=\(file)"
  func total(of reads: Int) -> Int? {
    unlink(file)
    setenv("BENCHMARK_PROGRAM", program, 1)
    if side == .device { setenv("BENCHMARK_WRAPPER", valgrind, 1) }
    defer {
      unsetenv("BENCHMARK_PROGRAM")
      unsetenv("BENCHMARK_WRAPPER")
    }
    let wrapper = side == .monitor ? valgrind.split(separator: " ").map(String.init) : []
    guard run(wrapper + [program, "--count", path, "\(reads)"]) == 0 else { return nil }
    return Benchmarks.total(file)
  }
  let few = 1000
  let many = 5000
  guard let low = total(of: few), let high = total(of: many) else { return nil }
  return (high - low) / (many - few)
}

/// What is run under callgrind: so many reads by one path.
func countPathInstructions(_ path: String, _ count: Int) throws {
  let child = try readMany(path, count)
  // Its socket is closed by now, and it ends by itself: callgrind writes its sums then.
  child.join()
}

private func readMany(_ path: String, _ count: Int) throws -> Child {
  let rig = try PathClient(.never, takesMailbox: path == "mailbox")
  guard path != "message" else {
    let region = try rig.client.region(at: PathDevice.Index.message)
    for _ in 0..<count { _ = try region.readWord(at: RegionOffset(0), byteCount: 4) }
    return rig.child
  }
  let region = try rig.client.region(at: PathDevice.Index.descriptor)
  let descriptors = try rig.client.ioDescriptors(region: region)
  let entry = descriptors.entries[0]
  let port: any IORegionPort =
    path == "mailbox"
    ? try descriptors.makeMailboxPort(for: entry, client: rig.client, polling: .never)
    : try IORegionChannel(adopting: descriptors.duplicate(at: Int(entry.descriptorIndex)))
  var progress = IORegionProgress()
  let command = IORegionCommand.read(at: 0, byteCount: 4, userData: entry.value)
  for _ in 0..<count {
    guard port.perform(command, &progress) == .done(0x600d_cafe) else {
      throw Errno.ioError
    }
  }
  return rig.child
}
