import DeviceModel
import NVMe

/// Finds the memory that a command's data pointer names: PRPs or SGLs.
///
/// Lists in guest memory are copied a piece at a time, each piece once.
///
/// Threads: confined to its engine's loop.
///
/// Source: NVMe 1.4, sections 4.3 and 4.4.
final class DataPointer {
  let engine: DMAEngine
  private let limits: TransferLimits
  /// A piece of a PRP list or of an SGL segment.
  private let piece = IOBuffer(byteCount: 4096)

  init(_ engine: DMAEngine, _ limits: TransferLimits) {
    self.engine = engine
    self.limits = limits
  }

  /// Adds the memory of a command's data to `list`.
  ///
  /// - Parameters:
  ///   - byteCount: how much the command moves.
  ///   - rights: what is done to the memory: reads it, or writes it.
  ///   - pageByteCount: the controller's memory page size (CC.MPS) in bytes.
  /// - Returns: nil, or what is wrong with the pointer.
  @inline(__always)
  func resolve(
    _ entry: borrowing SubmissionQueueEntry, _ byteCount: Int, _ rights: DMARights,
    pageByteCount: Int, to list: DMAScatterList
  ) -> NVMeStatus? {
    let kind = entry.words[0] & 0xc000
    guard kind == 0 else {
      return kind == 0xc000
        ? .invalidField : resolveSGL(entry.prp1, entry.prp2, byteCount, rights, list)
    }
    let address = entry.prp1
    let mask = UInt64(pageByteCount - 1)
    guard address & 3 == 0 else { return .invalidPRPOffset }
    let first = min(pageByteCount - Int(address & mask), byteCount)
    do {
      try list.append(DMAAddress(address), first, rights)
      let left = byteCount - first
      guard left > 0 else { return nil }
      let second = entry.prp2
      guard left > pageByteCount else {
        guard second & mask == 0 else { return .invalidPRPOffset }
        try list.append(DMAAddress(second), left, rights)
        return nil
      }
      return try resolveList(second, left, rights, pageByteCount, list)
    } catch {
      return .dataTransferError
    }
  }

  // MARK: PRP lists

  @inline(never)
  private func resolveList(
    _ start: UInt64, _ byteCount: Int, _ rights: DMARights, _ pageByteCount: Int,
    _ list: DMAScatterList
  ) throws(DMAError) -> NVMeStatus? {
    let mask = UInt64(pageByteCount - 1)
    guard start & 7 == 0 else { return .invalidPRPOffset }
    var address = start
    var left = byteCount
    // The transfer's size bounds the number of entries; each list page has at least one of them, for
    // the last entry of a page that is followed by another may be its only one.
    var listPages = 0
    while left > 0 {
      listPages += 1
      guard listPages <= byteCount / pageByteCount + 2 else { return .invalidPRPOffset }
      let room = (pageByteCount - Int(address & mask)) / 8
      let needed = (left + pageByteCount - 1) / pageByteCount
      let isChained = needed > room
      let count = isChained ? room - 1 : needed
      var done = 0
      while done < count {
        let step = min(count - done, piece.byteCount / 8)
        try load(DMAAddress(address + UInt64(done) * 8), step * 8)
        for index in 0..<step {
          let page = word(index * 8)
          guard page & mask == 0 else { return .invalidPRPOffset }
          let bytes = min(left, pageByteCount)
          try list.append(DMAAddress(page), bytes, rights)
          left -= bytes
        }
        done += step
      }
      guard isChained else { continue }
      try load(DMAAddress(address + UInt64(room - 1) * 8), 8)
      address = word(0)
      guard address & mask == 0 else { return .invalidPRPOffset }
    }
    return nil
  }

  private func load(_ address: DMAAddress, _ byteCount: Int) throws(DMAError) {
    scratch.removeAll()
    try scratch.append(address, byteCount, .read)
    target.removeAll()
    target.append(piece, byteCount: byteCount)
    try scratch.copy(to: target)
  }

  private lazy var scratch = DMAScatterList(engine)
  private lazy var target = DMAScatterList(engine)

  private func word(_ offset: Int) -> UInt64 {
    // Within the piece, whose size is a multiple of 8.
    (try? piece.load(at: offset, as: UInt64.self)) ?? 0
  }

  // MARK: SGLs

  private enum SGLType {
    static let dataBlock: UInt8 = 0x0
    static let bitBucket: UInt8 = 0x1
    static let segment: UInt8 = 0x2
    static let lastSegment: UInt8 = 0x3
  }

  @inline(never)
  private func resolveSGL(
    _ low: UInt64, _ high: UInt64, _ byteCount: Int, _ rights: DMARights, _ list: DMAScatterList
  ) -> NVMeStatus? {
    do {
      return try walk(low, high, byteCount, rights, list)
    } catch {
      return .dataTransferError
    }
  }

  private func walk(
    _ low: UInt64, _ high: UInt64, _ byteCount: Int, _ rights: DMARights, _ list: DMAScatterList
  ) throws(DMAError) -> NVMeStatus? {
    var left = byteCount
    switch kind(high) {
    case (SGLType.segment, 0), (SGLType.lastSegment, 0): break
    default:
      // A single descriptor in the command itself.
      if let status = try add(low, high, &left, rights, list) { return status }
      return left == 0 ? nil : .invalidDataSGLLength
    }
    var (next, header) = (low, high)
    var seen = 0
    while true {
      let length = Int(header & 0xffff_ffff)
      let isLast = kind(header).0 == SGLType.lastSegment
      guard length > 0, length % 16 == 0 else { return .invalidSGLSegmentDescriptor }
      let count = length / 16
      seen += count
      guard seen <= limits.descriptorCount else { return .invalidSGLDescriptorCount }
      var following: (UInt64, UInt64)?
      var done = 0
      while done < count {
        let step = min(count - done, piece.byteCount / 16)
        let (place, overflow) = next.addingReportingOverflow(UInt64(done) * 16)
        guard !overflow else { return .dataTransferError }
        try load(DMAAddress(place), step * 16)
        // Copied out: adding a descriptor may load another piece.
        for index in 0..<step {
          let (first, second) = (word(index * 16), word(index * 16 + 8))
          let type = kind(second)
          let isEnd = done + index == count - 1
          if type.1 == 0, type.0 == SGLType.segment || type.0 == SGLType.lastSegment {
            // Only the last descriptor of a segment that is not the last may lead to another.
            guard isEnd, !isLast else { return .invalidSGLSegmentDescriptor }
            following = (first, second)
          } else if let status = try add(first, second, &left, rights, list) {
            return status
          }
        }
        done += step
      }
      guard let found = following else {
        guard isLast else { return .invalidSGLSegmentDescriptor }
        return left == 0 ? nil : .invalidDataSGLLength
      }
      (next, header) = found
    }
  }

  /// The type and the subtype of a descriptor, from its second word.
  private func kind(_ high: UInt64) -> (UInt8, UInt8) {
    let byte = UInt8(truncatingIfNeeded: high >> 56)
    return (byte >> 4, byte & 0xf)
  }

  /// Adds what one descriptor names, as far as the command needs it.
  private func add(
    _ low: UInt64, _ high: UInt64, _ left: inout Int, _ rights: DMARights, _ list: DMAScatterList
  ) throws(DMAError) -> NVMeStatus? {
    let length = Int(high & 0xffff_ffff)
    switch kind(high) {
    case (SGLType.dataBlock, 0):
      // A longer list than the data is accepted: SGLS says so (LESDS).
      let count = min(length, left)
      if count > 0 { try list.append(DMAAddress(low), count, rights) }
      left -= count
      return nil
    case (SGLType.bitBucket, 0):
      // Data that the driver does not want: a hole in what it reads, nothing in what it writes.
      guard rights == .write else { return nil }
      let count = min(length, left)
      addBucket(count, list)
      left -= count
      return nil
    default: return .invalidSGLDescriptorType
    }
  }

  /// Bytes that are thrown away go to memory of ours that nobody reads.
  private func addBucket(_ byteCount: Int, _ list: DMAScatterList) {
    var left = byteCount
    while left > 0 {
      let count = min(left, bucket.byteCount)
      list.append(bucket, byteCount: count)
      left -= count
    }
  }

  private lazy var bucket = IOBuffer(byteCount: 65_536)
}
