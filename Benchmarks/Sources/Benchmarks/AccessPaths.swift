import CAllocationCounter
import CPingPong
import Glibc
import KVMSupport
import VFIOUser

/// What a guest's register access costs by each path, as a multiple of an exit that nobody answers.
///
/// Without KVM the accesses are this program's own: what the monitor and the device do is the same, and there
/// is no exit to compare it with.
///
/// The guest keeps to one CPU and the devices to another. A device that polls without end is stopped
/// while another path is measured.
func benchmarkAccessPaths(_ report: inout Report) throws {
  report.title("A guest's access to a register of 4 bytes, by path")
  cac_pin(0)
  defer { cac_pin(-1) }
  let machine = try PathMachine()
  let sockets = try PathClient(.never, takesMailbox: false)
  let sleeping = try PathClient(.never, takesMailbox: true)
  let polled = try PathClient(.always, takesMailbox: true)
  polled.child.pause(true)
  defer { for client in [sockets, sleeping, polled] { client.child.end() } }

  func place(
    _ client: PathClient, _ index: Int, _ polling: PollingMode? = nil, _ expected: String
  ) throws -> GuestAddress {
    client.child.pause(false)
    defer { if client.child.processID == polled.child.processID { client.child.pause(true) } }
    let (address, paths) = try machine.place(
      client.client.region(at: index), polling: polling)
    guard paths.contains(where: { $0.description == expected }) else {
      report.line("not reached by \(expected)", "\(paths)")
      throw Errno.notSupported
    }
    return address
  }
  typealias Index = PathDevice.Index
  let message = try place(sockets, Index.message, nil, "message")
  let descriptor = try place(sockets, Index.descriptor, .never, "ioregionfd")
  let mapped = try place(sockets, Index.mapped, nil, "mapped")
  let event = try place(sockets, Index.event, nil, "message")
  let posted = try place(sockets, Index.posted, nil, "posted message")
  let asleep = try place(sleeping, Index.descriptor, .never, "mailbox")
  let awake = try place(polled, Index.descriptor, .always, "mailbox")
  let upper: UInt64 = 2048

  var rows: [PathRow] = [
    PathRow(
      machine.hasKVM ? "an exit that nobody answers" : "nobody answers", PathMachine.bare,
      PathMachine.bare, 2000),
    PathRow("in process", PathMachine.inProcess, PathMachine.inProcess + 8, 2000),
    PathRow("message", message, message + 8, 300),
    PathRow("posted message", nil, posted + 8, 300),
    PathRow("ioregionfd", descriptor, descriptor + 8, 300),
    PathRow("ioregionfd, posted", nil, descriptor + (upper + 8), 300),
    PathRow("mailbox, both asleep", asleep, asleep + 8, 300),
    PathRow("mailbox, polled", awake, awake + 8, 2000, polls: true),
    PathRow("mailbox, polled, posted", nil, awake + (upper + 8), 2000, polls: true),
    PathRow("ioeventfd", nil, event + 8, 2000),
    PathRow("mapped", mapped, mapped + 8, 20000),
  ]
  for _ in 0..<15 {
    for index in rows.indices { try rows[index].measure(machine, polled.child) }
  }
  if !machine.hasKVM {
    report.line("there is no /dev/kvm", "accesses come from this program, and nothing exits")
  }
  let bare = rows[0]
  let name = "path".padded(to: 30)
  report.line(
    name + "read".padded(to: 22) + "write", machine.hasKVM ? "read / exit, write / exit" : "")
  for row in rows {
    let times = row.reads.text.padded(to: 22) + row.writes.text.padded(to: 14)
    let ratios =
      machine.hasKVM
      ? "\(row.reads.ratioText(to: bare.reads)), \(row.writes.ratioText(to: bare.writes))" : ""
    report.line(row.name.padded(to: 30) + times, ratios)
  }
  func ratio(_ row: Int, _ other: Int) -> Double {
    rows[row].writes.ratio(to: rows[other].writes)
  }
  // A posted write leaves without waiting for anybody: it costs less than one that waits. Where nothing
  // exits, so does the signal of an eventfd.
  for (index, other) in machine.hasKVM ? [(3, 2), (5, 4)] : [(3, 2), (5, 4), (9, 2)] {
    let value = ratio(index, other)
    report.aim(
      "\(rows[index].name) / \(rows[other].name)", value.text(), "< 1.00, no round trip",
      isMet: value < 1)
  }
  guard machine.hasKVM else { return }
  let signal = ratio(9, 0)
  report.aim("ioeventfd / exit", signal.text(), "<= 1.00, no exit", isMet: signal <= 1)
}

/// The polled mailbox, called by this program, against a bare exchange of two cache lines.
func benchmarkMailboxFloor(_ report: inout Report) throws {
  report.title("The polled mailbox against a bare exchange of two cache lines")
  cac_pin(0)
  defer { cac_pin(-1) }
  let polled = try PathClient(.always, takesMailbox: true)
  defer { polled.child.end() }
  let region = try polled.client.region(at: PathDevice.Index.descriptor)
  let descriptors = try polled.client.ioDescriptors(region: region)
  guard let entry = descriptors.entries.first else { return }
  let port = try descriptors.makeMailboxPort(
    for: entry, client: polled.client, polling: .always)
  var floor = Measurement()
  var reads = Measurement()
  var writes = Measurement()
  var progress = IORegionProgress()
  let count = 20_000
  let read = IORegionCommand.read(at: 0, byteCount: 4, userData: entry.value)
  let write = IORegionCommand.write(1, at: 8, byteCount: 4, userData: entry.value)
  for _ in 0..<15 {
    polled.child.pause(true)
    floor.nanosecondsPerOperation.append(cpp_nanoseconds(100_000))
    polled.child.pause(false)
    for _ in 0..<200 { _ = port.perform(read, &progress) }
    reads.time(count) {
      for _ in 0..<count {
        precondition(port.perform(read, &progress) == .done(0x600d_cafe))
      }
    }
    writes.time(count) {
      for _ in 0..<count { precondition(port.perform(write, &progress) == .done(0)) }
    }
  }
  // A posted write waits for the command before it alone, which a guest's next exit gives time enough to:
  // here, that time passes unmeasured.
  var waited = Measurement()
  var posted = Measurement()
  let post = IORegionCommand.write(
    1, at: 8, byteCount: 4, userData: descriptors.entries[1].value, isPosted: true)
  for _ in 0..<15 {
    waited.timeEach(2000) { precondition(port.perform(write, &progress) == .done(0)) }
    posted.timeEach(2000) { precondition(port.perform(post, &progress) == .done(0)) }
  }
  report.line("bare exchange of two cache lines", floor.median.duration)
  let slower = max(reads.ratio(to: floor), writes.ratio(to: floor))
  report.aim(
    "polled mailbox / exchange", "\(reads.median.duration), \(slower.text())", "<= 3.00",
    isMet: slower <= 3)
  let time = max(reads.median, writes.median)
  report.aim("polled mailbox", time.duration, "< 1 us", isMet: time < 1000)
  let share = posted.ratio(to: waited)
  report.aim(
    "posted write / write, polled mailbox", "\(posted.median.duration), \(share.text())",
    "< 0.75, no round trip", isMet: share < 0.75)
}

/// What is measured of one path.
private struct PathRow {
  let name: String
  private let readAddress: GuestAddress?
  private let writeAddress: GuestAddress?
  private let count: Int
  private let polls: Bool
  var reads = Measurement()
  var writes = Measurement()

  /// - Parameter polls: whether the polling device is needed, and only then may run.
  init(
    _ name: String, _ read: GuestAddress?, _ write: GuestAddress?, _ count: Int,
    polls: Bool = false
  ) {
    self.name = name
    readAddress = read
    writeAddress = write
    self.count = count
    self.polls = polls
  }

  mutating func measure(_ machine: PathMachine, _ polled: Child) throws {
    if polls { polled.pause(false) }
    defer { if polls { polled.pause(true) } }
    if let readAddress {
      // The first accesses wake everybody up.
      try machine.read(readAddress, 50)
      try reads.time(count) { try machine.read(readAddress, count) }
    }
    if let writeAddress {
      try machine.write(writeAddress, 50)
      try writes.time(count) { try machine.write(writeAddress, count) }
    }
  }
}

extension Measurement {
  /// Times `count` operations one by one, two microseconds apart.
  fileprivate mutating func timeEach(_ count: Int, _ body: () -> Void) {
    var sum: UInt64 = 0
    for _ in 0..<count {
      let pause = now() + 2000
      while now() < pause {}
      let start = now()
      body()
      sum += now() - start
    }
    nanosecondsPerOperation.append(Double(sum) / Double(count))
  }

  fileprivate var text: String { nanosecondsPerOperation.isEmpty ? "-" : median.duration }

  fileprivate func ratioText(to floor: Measurement) -> String {
    nanosecondsPerOperation.isEmpty ? "-" : ratio(to: floor).text()
  }
}

extension String {
  fileprivate func padded(to count: Int) -> String {
    self + String(repeating: " ", count: max(1, count - self.count))
  }
}

extension GuestAddress {
  fileprivate static func + (address: GuestAddress, offset: UInt64) -> GuestAddress {
    GuestAddress(address.rawValue + offset)
  }
}
