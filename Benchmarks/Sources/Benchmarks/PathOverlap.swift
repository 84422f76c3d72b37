import CAllocationCounter
import Glibc
import VFIOUser

/// What descriptors of their own are for: what happens on one holds up nothing on another.
func benchmarkPathOverlap(_ report: inout Report) throws {
  report.title("Accesses at the same time")
  for takesMailbox in [false, true] {
    let name = takesMailbox ? "mailbox" : "ioregionfd"
    let rig = try PathClient(.never, takesMailbox: takesMailbox)
    defer { rig.child.end() }
    try measureOverlap(&report, name, rig)
    try measureSlowCommand(&report, name, rig)
  }
}

/// A handler that takes 200 microseconds, from two threads: on two descriptors, and on one.
private func measureOverlap(_ report: inout Report, _ name: String, _ rig: PathClient) throws {
  let region = try rig.client.region(at: PathDevice.Index.slow)
  let descriptors = try rig.client.ioDescriptors(region: region)
  guard descriptors.entries.count == 3 else { return report.line(name, "not offered") }
  let first = try port(descriptors, 0, rig.client)
  let second = try port(descriptors, 1, rig.client)
  let users = descriptors.entries.map(\.value)
  var alone = Measurement()
  var two = Measurement()
  var one = Measurement()
  let count = 100
  for _ in 0..<5 {
    alone.time(count) { accessMany(first, users[0], count) }
    two.time(count) {
      let other = SecondThread { accessMany(second, users[1], count) }
      accessMany(first, users[0], count)
      other.join()
    }
    one.time(count) {
      let other = SecondThread { accessMany(first, users[2], count) }
      accessMany(first, users[0], count)
      other.join()
    }
  }
  report.line("\(name): a handler of 200 us, one thread", alone.median.duration)
  let overlapping = two.ratio(to: alone)
  report.aim(
    "\(name): two threads, two descriptors / one thread", overlapping.text(), "<= 1.50, overlap",
    isMet: overlapping <= 1.5)
  let queued = one.ratio(to: alone)
  report.aim(
    "\(name): two threads, one descriptor / one thread", queued.text(), ">= 1.70, one by one",
    isMet: queued >= 1.7)
}

/// Accesses over a descriptor while a command of 20 ms occupies the session's socket.
private func measureSlowCommand(
  _ report: inout Report, _ name: String, _ rig: PathClient
) throws {
  let slow = try rig.client.region(at: PathDevice.Index.deferred)
  let descriptors = try rig.client.ioDescriptors(
    region: try rig.client.region(at: PathDevice.Index.descriptor))
  let port = try port(descriptors, 0, rig.client)
  guard let user = descriptors.entries.first?.value else { return }
  var completed = 0
  var progress = IORegionProgress()
  let pending = try slow.startRead(at: RegionOffset(0), byteCount: 4)
  let start = now()
  while now() - start < 10_000_000 {
    let outcome = port.perform(.read(at: 0, byteCount: 4, userData: user), &progress)
    if outcome == .done(0x600d_cafe) { completed += 1 }
  }
  let between = now() - start
  _ = try rig.client.finishRead(pending)
  let whole = now() - start
  report.aim(
    "\(name): accesses in 10 ms beside a slow command", "\(completed)",
    "> 10, and the command ends later", isMet: completed > 10 && whole > between + 1_000_000)
}

private func port(
  _ descriptors: ClientIODescriptors, _ index: Int, _ client: DeviceClient
) throws -> any IORegionPort {
  let entry = descriptors.entries[index]
  if entry.kind == .mailbox {
    return try descriptors.makeMailboxPort(for: entry, client: client, polling: .never)
  }
  return try IORegionChannel(
    adopting: descriptors.duplicate(at: Int(entry.descriptorIndex)))
}

private func accessMany(_ port: any IORegionPort, _ user: UInt64, _ count: Int) {
  var progress = IORegionProgress()
  for _ in 0..<count {
    guard case .done = port.perform(.read(at: 0, byteCount: 4, userData: user), &progress) else {
      preconditionFailure("an access failed")
    }
  }
}

/// A thread that is joined.
private final class SecondThread {
  private final class Body {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }

  private var thread = pthread_t()

  init(_ run: @escaping () -> Void) {
    pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
        return nil
      }, Unmanaged.passRetained(Body(run)).toOpaque())
  }

  func join() { pthread_join(thread, nil) }
}
