import CVFIOUserLinux

/// A part of a region that is mapped into this process: device memory that the server polls.
///
/// Threads: any. The server may change the bytes at any time: everything is copied at once.
final class MappedArea: Sendable {
  /// Where the area lies in its region.
  let area: RegionArea
  private let mapping: MemoryMapping
  /// Never taken out.
  private let file: HeldDescriptor
  private let start: UInt64
  private let isWritable: Bool

  /// Maps the area; throws what mmap says, and EINVAL when the file is shorter than it claims.
  init(
    _ area: RegionArea, file: HeldDescriptor, fileOffset: UInt64, isWritable: Bool
  ) throws(Errno) {
    let descriptor = file.rawValue
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
    self.file = file
    self.start = start
    self.isWritable = isWritable
    mapping = try MemoryMapping(
      descriptor: descriptor, offset: start, byteCount: area.byteCount, readable: true,
      writable: isWritable)
  }

  /// The area's memory with a mapping of its own, to be shown to a guest.
  ///
  /// - Throws: `EPERM` when its file may shrink, `EINVAL` when the area does not consist of whole pages
  ///   of it, else what mmap says.
  func sealedMemory() throws(Errno) -> SharedMemory {
    // What is no memory file has no seals.
    let seals = cvfu_seals(file.rawValue)
    guard seals >= 0, seals & CInt(F_SEAL_SHRINK) != 0 else { throw .notPermitted }
    let page = UInt64(MemoryMapping.pageSize)
    guard start % page == 0, area.offset.rawValue % page == 0, area.byteCount % page == 0 else {
      throw .invalidArgument
    }
    // Looked at again: before the seal it could still have shrunk.
    var status = stat()
    // Safety: a local variable, for the time of the call.
    _ = try Errno.check(unsafe fstat(file.rawValue, &status))
    guard start + area.byteCount <= UInt64(clamping: status.st_size) else {
      throw .invalidArgument
    }
    return try SharedMemory(
      adopting: OwnedDescriptor(adopting: try Errno.checkShim(cvfu_duplicate(file.rawValue))),
      offset: start, byteCount: area.byteCount, writable: isWritable)
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
    let word = mapping.readWord(at: position, byteCount: byteCount)
    try checkPresence()
    return word
  }

  /// Writes 1, 2, 4 or 8 aligned bytes by one store, anything else byte by byte.
  func writeWord(_ word: UInt64, at position: Int, byteCount: Int) throws(ClientError) {
    mapping.writeWord(word, at: position, byteCount: byteCount)
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
