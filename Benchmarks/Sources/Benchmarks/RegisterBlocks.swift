import CAllocationCounter
import DeviceModel
import VFIOUser

/// What a register block costs by itself, and that an access allocates nothing.
func benchmarkRegisterBlock(_ report: inout Report) throws {
  report.title("Register block, per access")
  let device = try BenchmarkDevice()
  let handler: any RegionHandler = device.block
  var bytes: [UInt8] = [1, 2, 3, 4]
  let count = 2_000_000
  var read = Measurement()
  var write = Measurement()
  var effect = Measurement()
  for _ in 0..<7 {
    try bytes.withMutableRawSpan { (span) throws(Errno) in
      let start = now()
      for _ in 0..<count { try handler.read(at: RegionOffset(0), into: &span, .immediate) }
      read.nanosecondsPerOperation.append(Double(now() - start) / Double(count))
    }
    for (offset, isEffect) in [(4, false), (8, true)] {
      let start = now()
      for _ in 0..<count {
        try handler.write(at: RegionOffset(UInt64(offset)), from: bytes.rawSpan, .immediate)
      }
      let each = Double(now() - start) / Double(count)
      if isEffect {
        effect.nanosecondsPerOperation.append(each)
      } else {
        write.nanosecondsPerOperation.append(each)
      }
    }
  }
  report.line("read", read.minimum.duration)
  report.line("write", write.minimum.duration)
  report.line("write with effect", effect.minimum.duration)
}

/// Counts the heap allocations of register accesses, with client and device in this process.
///
/// This program's malloc stands in front of the C library's and counts. The accesses before the
/// measured ones let buffers reach their size.
func benchmarkAllocations(_ report: inout Report) throws {
  report.title("Heap allocations of 20,000 accesses over the socket, client and device together")
  let rig = try InProcess()
  let region = try rig.client.region(at: 0)
  func exchange(_ count: Int) throws {
    for value in 0..<count {
      try region.write(UInt32(value), at: RegionOffset(8))
      let _: UInt32 = try region.read(at: RegionOffset(0))
    }
  }
  try exchange(1000)
  let before = cac_allocation_count()
  try exchange(10_000)
  let allocations = cac_allocation_count() - before
  report.aim("reads and writes", "\(allocations)", "0", isMet: allocations == 0)
}
