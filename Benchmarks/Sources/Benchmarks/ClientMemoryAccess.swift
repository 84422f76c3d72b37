import Glibc
import VFIOUser

/// Copies to and from mapped client memory against memcpy of the same sizes.
func benchmarkDMACopies(_ report: inout Report) throws {
  report.title("DMA copy against memcpy, mapped memory (speed relative to memcpy)")
  let rig = try InProcess()
  let memory = try SharedMemory(byteCount: 8 << 20)
  try rig.client.mapMemory(
    memory, at: DMAAddress(0x10_0000), rights: [.read, .write])
  for byteCount in [64, 512, 4096, 65536, 1 << 20] {
    let rounds = max(20, (64 << 20) / byteCount / 16)
    let (read, write, floor) = try rig.onLoop { device in
      guard let dma = device.services?.dma else { throw Errno.invalidArgument }
      var target = [UInt8](repeating: 1, count: byteCount)
      let other = UnsafeMutableRawPointer.allocate(byteCount: 8 << 20, alignment: 4096)
      memset(other, 2, 8 << 20)
      defer { other.deallocate() }
      var read = Measurement()
      var write = Measurement()
      var floor = Measurement()
      // Every copy comes from another place, as a device's would.
      let places = max(1, (4 << 20) / byteCount)
      for _ in 0..<9 {
        target.withUnsafeMutableBytes { bytes in
          guard let base = bytes.baseAddress else { return }
          floor.time(rounds) {
            for round in 0..<rounds {
              memcpy(base, other + (round % places) * byteCount, byteCount)
            }
          }
        }
        try target.withMutableRawSpan { (bytes) throws(DMAError) in
          let start = now()
          for round in 0..<rounds {
            try dma.read(
              at: DMAAddress(0x10_0000 + UInt64((round % places) * byteCount)), into: &bytes)
          }
          read.nanosecondsPerOperation.append(Double(now() - start) / Double(rounds))
        }
        let start = now()
        for round in 0..<rounds {
          try dma.write(
            at: DMAAddress(0x10_0000 + UInt64((round % places) * byteCount)),
            from: target.rawSpan)
        }
        write.nanosecondsPerOperation.append(Double(now() - start) / Double(rounds))
      }
      return (read, write, floor)
    }
    let reading = 1 / read.ratio(to: floor)
    let writing = 1 / write.ratio(to: floor)
    let text = "read \(reading.text()) write \(writing.text())   (memcpy \(floor.median.duration))"
    if byteCount >= 4096 {
      report.aim(
        "\(byteCount) bytes", text, ">= 0.90", isMet: reading >= 0.9 && writing >= 0.9)
    } else {
      report.line("\(byteCount) bytes", text)
    }
  }
}

/// Finding the grant of a random address, with one grant and with 65,535.
func benchmarkLookups(_ report: inout Report) throws {
  report.title("Grant lookup of random addresses")
  let one = try InProcess()
  let many = try InProcess()
  let count = 65535
  let memory = PrivateMemory(byteCount: 4096)
  let whole = PrivateMemory(byteCount: 4096 * count)
  try one.client.mapPrivateMemory(whole, at: DMAAddress(0x1000), rights: .read)
  for index in 0..<count {
    try many.client.mapPrivateMemory(
      memory, at: DMAAddress(0x1000 + UInt64(index) * 4096), rights: .read)
  }
  var generator = SystemRandomNumberGenerator()
  let addresses = (0..<65536).map { _ in
    0x1000 + UInt64.random(in: 0..<UInt64(count) * 4096 - 8, using: &generator) / 8 * 8
  }
  func measure(_ rig: InProcess) throws -> Double {
    try rig.onLoop { device in
      guard let dma = device.services?.dma else { throw Errno.invalidArgument }
      var found = 0
      let start = now()
      for _ in 0..<4 {
        for address in addresses {
          if let range = DMARange(address: DMAAddress(address), byteCount: 8),
            dma.permits(range, .read)
          {
            found += 1
          }
        }
      }
      precondition(found == 4 * addresses.count)
      return Double(now() - start) / Double(4 * addresses.count)
    }
  }
  var single = Measurement()
  var multiple = Measurement()
  for _ in 0..<9 {
    single.nanosecondsPerOperation.append(try measure(one))
    multiple.nanosecondsPerOperation.append(try measure(many))
  }
  report.line("one grant", single.median.duration)
  report.line("65,535 grants", multiple.median.duration)
  let ratio = multiple.ratio(to: single)
  report.aim("65,535 / one", ratio.text(), "<= 4.00", isMet: ratio <= 4)
}
