import CAllocationCounter
import VFIOUser

/// What a device's data path pays for guest memory: entries of rings, lists of pages, copies.
func benchmarkGuestMemory(_ report: inout Report) throws {
  report.title("Guest memory that is mapped, per operation")
  let rig = try InProcess()
  let memory = try SharedMemory(byteCount: 1 << 20)
  try rig.client.mapMemory(memory, at: DMAAddress(0x10_0000), rights: [.read, .write])
  let figures = try rig.onLoop { device -> [(String, Double, Double?)] in
    guard let dma = device.services?.dma,
      let range = DMARange(address: DMAAddress(0x10_0000), byteCount: 65536)
    else { throw Errno.invalidArgument }
    let window = DMAWindow(dma, range)
    let list = DMAScatterList(dma)
    let other = DMAScatterList(dma)
    try other.append(DMAAddress(0x18_0000), 4096, [.read, .write])
    let buffer = DMAScatterList(dma)
    buffer.append(IOBuffer(byteCount: 4096), byteCount: 4096)
    var page = [UInt8](repeating: 1, count: 4096)
    var sum: UInt64 = 0
    return [
      try best("load of a 64-byte entry", 10) { index throws(DMAError) in
        let words = try window.load64Bytes(at: index & 1023 &<< 6)
        sum &+= words[0] &+ words[7]
      },
      try best("store of a 16-byte entry", 5) { index throws(DMAError) in
        try window.store16Bytes(sum, UInt64(index), at: index & 4095 &<< 4)
      },
      try best("load of a 32-bit index", nil) { index throws(DMAError) in
        sum &+= UInt64(try window.load32(at: index & 1023 &<< 2))
      },
      try best("a list of one 4 KiB page: empty, add", 11) { index throws(DMAError) in
        list.removeAll()
        try list.append(DMAAddress(0x10_0000 + UInt64(index & 127) &<< 12), 4096, .read)
      },
      try best("a list of eight single pages, per page", 10, 8) { index throws(DMAError) in
        list.removeAll()
        for page in 0..<8 {
          try list.append(DMAAddress(0x10_0000 + UInt64(page) &<< 13), 4096, .read)
        }
      },
      try best("emptying a list", 1.5) { _ throws(DMAError) in list.removeAll() },
      try best("copy of 4 KiB out of a list", nil) { _ throws(DMAError) in
        try page.withMutableRawSpan { (span) throws(DMAError) in
          try other.read(at: 0, into: &span)
        }
      },
      try best("copy of 4 KiB between lists", nil) { _ throws(DMAError) in
        try other.copy(to: buffer)
      },
      try best("engine: load of 64 bits", nil) { index throws(DMAError) in
        sum &+= try dma.load(at: DMAAddress(0x10_0000 + UInt64(index & 1023) &<< 3))
      },
      try best("device memory: load of a 32-bit doorbell", nil) { index throws(DMAError) in
        sum &+= UInt64((try? memory.load32(at: index & 1023 &<< 2)) ?? 0)
      },
      try best("begin and end of a transfer", nil) { _ throws(DMAError) in
        other.beginTransfer()
        other.endTransfer()
      },
    ]
  }
  for (name, value, aim) in figures {
    if let aim {
      report.aim(name, value.duration, "<= \(aim.duration)", isMet: value <= aim)
    } else {
      report.line(name, value.duration)
    }
  }
}

/// The best of several rounds.
@inline(__always)
private func best(
  _ name: String, _ aim: Double?, _ divisor: Double = 1, _ body: (Int) throws(DMAError) -> Void
) throws(DMAError) -> (String, Double, Double?) {
  let count = 200_000
  var best = Double.infinity
  for _ in 0..<15 {
    let start = now()
    for index in 0..<count { try body(index) }
    best = min(best, Double(now() - start) / Double(count))
  }
  return (name, best / divisor, aim)
}

/// What one turn of a spinning loop costs.
func benchmarkSpinning(_ report: inout Report) throws {
  report.title("A loop that polls without end, per turn")
  for (name, found) in [("one poller that finds nothing", false), ("one that finds work", true)] {
    var best = Double.infinity
    for _ in 0..<9 {
      let loop = try EventLoop(polling: .always)
      let count = 300_000
      var left = count
      let token = loop.addPoller {
        left -= 1
        if left == 0 { loop.stop() }
        return found
      }
      let start = now()
      try loop.run()
      best = min(best, Double(now() - start) / Double(count))
      loop.removePoller(token)
    }
    report.line(name, best.duration)
  }
}
