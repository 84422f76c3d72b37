import NVMe

// Source: NVM Command Set 1.0, section 3.2.2.

extension NVMeController {
  /// Copies blocks within a namespace: the controller moves them by itself.
  ///
  /// - Parameters:
  ///   - block: the first one to copy.
  ///   - count: how many; any number, each command copies as many as the controller takes.
  ///   - target: where they go; the two ranges must not overlap.
  /// - Throws: `unsupported` when the controller has no Copy, `invalidArgument` for ranges that overlap
  ///   or lie beyond all blocks; as ``read(_:block:count:)``. Some blocks may be copied then.
  public func copy(
    _ namespace: NVMeNamespaceInfo, block: UInt64, count: UInt64, to target: UInt64
  ) throws(NVMeDriverError) {
    guard identity.commandSupport & 1 << 8 != 0, identity.copyFormatSupport & 1 != 0 else {
      throw NVMeDriverError(.unsupported, "the controller does not copy")
    }
    let total = namespace.blockCount
    guard block <= total, target <= total, count <= total - max(block, target),
      max(block, target) - min(block, target) >= count
    else {
      throw NVMeDriverError(
        .invalidArgument, "\(count) blocks cannot be copied from \(block) to \(target)")
    }
    let rangeLimit = UInt64(max(namespace.data.maximumSourceRangeLength, 1))
    let rangeCount = UInt64(namespace.data.maximumSourceRangeCount) + 1
    let limit = min(UInt64(max(namespace.data.maximumCopyLength, 1)), rangeLimit * rangeCount)
    let pair = try pair()
    try withBuffer(Int(rangeCount) * 32, for: pair) { (buffer) throws(NVMeDriverError) in
      var done: UInt64 = 0
      while done < count {
        let step = min(count - done, limit)
        var ranges: [UInt8] = []
        for start in stride(from: 0, to: step, by: Int(rangeLimit)) {
          ranges += Self.copyRange(block + done + start, min(step - start, rangeLimit))
        }
        try buffer.write(ranges)
        var entry = namespace.command(.copy)
        entry.startingBlock = target + done
        // Number of Ranges, minus one; descriptor format 0.
        entry.dword12 = UInt32(ranges.count / 32 - 1)
        try succeed(
          entry, try buffer.part(at: 0, byteCount: ranges.count), pair,
          "copy of \(step) blocks from \(block + done) on")
        done += step
      }
    }
  }

  /// A source range of descriptor format 0.
  private static func copyRange(_ block: UInt64, _ count: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 32)
    for index in 0..<8 { bytes[8 + index] = UInt8(truncatingIfNeeded: block >> UInt64(index * 8)) }
    for index in 0..<2 {
      bytes[16 + index] = UInt8(truncatingIfNeeded: (count - 1) >> UInt64(index * 8))
    }
    return bytes
  }
}
