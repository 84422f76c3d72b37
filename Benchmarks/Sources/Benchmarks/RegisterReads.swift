import CAllocationCounter
import Glibc
import VFIOUser

/// A register read over the socket against a bare echo of the same sizes, each side a process.
///
/// The client keeps to one CPU and the other side to another, as a vCPU and its device would: left
/// alone, the scheduler sometimes runs both on one CPU and sometimes not, which is a factor of five.
/// The devices that spin are free to move, because a loop that may use one CPU only does not spin.
func benchmarkRegisterReads(_ report: inout Report) throws {
  report.title("Register read over the socket, client and device in processes on CPUs of their own")
  cac_pin(0)
  defer { cac_pin(-1) }
  // REGION_READ is 32 bytes, its reply with 4 bytes of data 36.
  let echo = try Child(.echo(request: 32, reply: 36), isPinned: true)
  let blocking = try Child(.device(.never), isPinned: true)
  let adaptive = try Child(.device(.adaptive))
  defer { for child in [echo, blocking, adaptive] { child.end() } }

  func connect(_ child: Child) throws -> ClientRegion {
    try DeviceClient.connect(adopting: OwnedDescriptor(adopting: child.socket)).region(at: 0)
  }
  let blockingRegion = try connect(blocking)
  let adaptiveRegion = try connect(adaptive)
  var spinning = ClientOptions()
  spinning.polling = .always
  let both = try Child(.device(.adaptive))
  defer { both.end() }
  let bothRegion = try DeviceClient.connect(
    adopting: OwnedDescriptor(adopting: both.socket), options: spinning
  ).region(at: 0)

  var floor = Measurement()
  var read = Measurement()
  var polled = Measurement()
  var polledBoth = Measurement()
  let count = 2000
  for _ in 0..<15 {
    floor.time(count) { for _ in 0..<count { _ = cac_exchange(echo.socket, 32, 36) } }
    try read.time(count) { try readMany(blockingRegion, count) }
    try polled.time(count) { try readMany(adaptiveRegion, count) }
    try polledBoth.time(count) { try readMany(bothRegion, count) }
  }
  report.line("bare echo, blocking", floor.median.duration)
  report.line("register read, blocking", read.median.duration)
  let ratio = read.ratio(to: floor)
  report.aim("register read / echo", ratio.text(), "<= 1.15", isMet: ratio <= 1.15)
  report.line("register read, --poll adaptive", polled.median.duration)
  let gain = polled.ratio(to: read)
  report.aim("adaptive / blocking", gain.text(), "<= 0.50", isMet: gain <= 0.5)
  report.line("register read, both sides spin", polledBoth.median.duration)

  // The adaptive device has been busy until now: give it time to fall asleep, then watch it.
  usleep(100_000)
  let before = adaptive.processorTicks
  usleep(2_000_000)
  let used = adaptive.processorTicks - before
  report.aim("idle device, CPU time in 2 s", "\(used * 10) ms", "0 ms", isMet: used == 0)
}

private func readMany(_ region: ClientRegion, _ count: Int) throws {
  for _ in 0..<count {
    let value: UInt32 = try region.read(at: RegionOffset(0))
    precondition(value == 0x600d_cafe)
  }
}

/// Posted writes: the client waits only once, at the end.
func benchmarkPostedWrites(_ report: inout Report) throws {
  report.title("Posted writes")
  let child = try Child(.device(.adaptive))
  defer { child.end() }
  let region = try DeviceClient.connect(adopting: OwnedDescriptor(adopting: child.socket))
    .region(at: 0)
  var posted = Measurement()
  var waited = Measurement()
  let count = 2000
  for _ in 0..<15 {
    try posted.time(count) {
      for value in 0..<count { try region.post(UInt32(value), at: RegionOffset(8)) }
      let _: UInt32 = try region.read(at: RegionOffset(8))
    }
    try waited.time(count) {
      for value in 0..<count { try region.write(UInt32(value), at: RegionOffset(8)) }
    }
  }
  report.line("a posted write", posted.median.duration)
  report.line("a write that waits", waited.median.duration)
  report.line("posted / waited", posted.ratio(to: waited).text(3))
}
