import CVFIOUserLinux
import Synchronization

/// A part of a region that is mapped into this process: device memory that the server polls.
///
/// Threads: any. The server may change the bytes at any time: everything is copied at once.
final class MappedArea: Sendable {
  /// Where the area lies in its region.
  let area: RegionArea
  private let mapping: MemoryMapping

  /// Maps the area; throws what mmap says, and EINVAL when the file is shorter than it claims.
  init(
    _ area: RegionArea, descriptor: CInt, fileOffset: UInt64, isWritable: Bool
  ) throws(Errno) {
    var status = stat()
    // Safety: a local variable, for the time of the call.
    _ = try Errno.check(unsafe fstat(descriptor, &status))
    let (start, overflow) = fileOffset.addingReportingOverflow(area.offset.rawValue)
    let (end, endOverflow) = start.addingReportingOverflow(area.byteCount)
    guard !overflow, !endOverflow else { throw .invalidArgument }
    if status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG), end > UInt64(clamping: status.st_size) {
      throw .invalidArgument
    }
    self.area = area
    mapping = try MemoryMapping(
      descriptor: descriptor, offset: start, byteCount: area.byteCount, readable: true,
      writable: isWritable)
  }

  /// Where an access starts in the mapping, or nil when it is not wholly inside the area.
  @inline(__always)
  func position(of offset: RegionOffset, byteCount: Int) -> Int? {
    guard offset.rawValue >= area.offset.rawValue else { return nil }
    let start = offset.rawValue - area.offset.rawValue
    guard start <= area.byteCount, UInt64(byteCount) <= area.byteCount - start else { return nil }
    return Int(start)
  }

  /// Reads 1, 2, 4 or 8 aligned bytes by one load, anything else byte by byte.
  func readWord(at position: Int, byteCount: Int) throws(ClientError) -> UInt64 {
    // Safety: `position` was checked against the area, whose mapping lives as long as self. The
    // atomics are aligned by the switch, and pair with the server's release stores.
    let base = unsafe mapping.start + position
    let isAligned = Int(bitPattern: base) & (byteCount - 1) == 0
    var word: UInt64 = 0
    switch (byteCount, isAligned) {
    case (8, true):
      word = unsafe base.assumingMemoryBound(to: Atomic<UInt64>.self).pointee
        .load(ordering: .acquiring)
    case (4, true):
      word = UInt64(
        unsafe base.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .acquiring))
    case (2, true):
      word = UInt64(
        unsafe base.assumingMemoryBound(to: Atomic<UInt16>.self).pointee.load(ordering: .acquiring))
    default:
      for index in 0..<byteCount {
        let byte = unsafe (base + index).assumingMemoryBound(to: Atomic<UInt8>.self).pointee
          .load(ordering: .acquiring)
        word |= UInt64(byte) << UInt64(8 * index)
      }
    }
    try checkPresence()
    return word
  }

  /// Writes 1, 2, 4 or 8 aligned bytes by one store, anything else byte by byte.
  func writeWord(_ word: UInt64, at position: Int, byteCount: Int) throws(ClientError) {
    // Safety: as for `readWord`; the stores pair with the server's acquire loads.
    let base = unsafe mapping.start + position
    let isAligned = Int(bitPattern: base) & (byteCount - 1) == 0
    switch (byteCount, isAligned) {
    case (8, true):
      unsafe base.assumingMemoryBound(to: Atomic<UInt64>.self).pointee
        .store(word, ordering: .releasing)
    case (4, true):
      unsafe base.assumingMemoryBound(to: Atomic<UInt32>.self).pointee
        .store(UInt32(truncatingIfNeeded: word), ordering: .releasing)
    case (2, true):
      unsafe base.assumingMemoryBound(to: Atomic<UInt16>.self).pointee
        .store(UInt16(truncatingIfNeeded: word), ordering: .releasing)
    default:
      for index in 0..<byteCount {
        unsafe (base + index).assumingMemoryBound(to: Atomic<UInt8>.self).pointee
          .store(UInt8(truncatingIfNeeded: word >> UInt64(8 * index)), ordering: .releasing)
      }
    }
    try checkPresence()
  }

  func read(at position: Int, into target: inout MutableRawSpan) throws(ClientError) {
    // Safety: the range was checked against the area, whose mapping lives as long as self.
    unsafe target.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      unsafe base.copyMemory(from: mapping.start + position, byteCount: buffer.count)
    }
    try checkPresence()
  }

  func write(at position: Int, from source: RawSpan) throws(ClientError) {
    // Safety: as for `read`.
    unsafe source.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      unsafe (mapping.start + position).copyMemory(from: base, byteCount: buffer.count)
    }
    try checkPresence()
  }

  private func checkPresence() throws(ClientError) {
    if mapping.isLost {
      throw ClientError(.memoryLost, .ioError, "the server took mapped memory away")
    }
  }
}
