import CVFIOUserLinux
import Synchronization

/// Memory that this process shares with a peer: a sealed memory file, mapped here.
///
/// The peer may write at any time. Everything goes through copies and atomic accesses of a checked
/// offset; no reference into the memory ever leaves this type.
///
/// Threads: any; concurrent accesses see each other's bytes in no particular order, atomics as
/// their orderings say.
public final class SharedMemory: Sendable {
  /// The memory file, for passing it to a peer.
  let descriptor: OwnedDescriptor
  let mapping: MemoryMapping

  /// The size in bytes.
  public var byteCount: Int { mapping.byteCount }

  /// New memory, zeroed, rounded up to whole pages, sealed against resizing.
  ///
  /// - Throws: `EINVAL` for no bytes at all, `ENOMEM`, `EMFILE`.
  public init(byteCount: Int, name: String = "vfio-user") throws(Errno) {
    guard byteCount > 0 else { throw .invalidArgument }
    let page = MemoryMapping.pageSize
    let (padded, overflow) = byteCount.addingReportingOverflow(page - 1)
    guard !overflow else { throw .invalidArgument }
    let size = UInt64(padded / page * page)
    // Safety: the name is a C string for the time of the call.
    let raw = try Errno.checkShim(unsafe cvfu_shared_memory(name, size))
    descriptor = OwnedDescriptor(adopting: raw)
    mapping = try MemoryMapping(
      descriptor: raw, offset: 0, byteCount: size, readable: true, writable: true)
  }

  /// The memory that a peer passed: `byteCount` bytes of its file from `offset`.
  ///
  /// A range that leaves the file is found out by the accesses.
  /// - Throws: `EINVAL` for no bytes and for a range that no mapping can hold, `ENOMEM` when the
  ///   process has too many mappings, else what mmap(2) says, such as `EACCES` for a file that was
  ///   not opened for writing. The descriptor is closed then.
  public init(
    adopting descriptor: consuming OwnedDescriptor, offset: UInt64, byteCount: UInt64,
    writable: Bool
  ) throws(Errno) {
    mapping = try MemoryMapping(
      descriptor: descriptor.rawValue, offset: offset, byteCount: byteCount, readable: true,
      writable: writable)
    self.descriptor = descriptor
  }

  /// The kernel's number of the memory file, for a call that borrows it. Never close it.
  public var rawDescriptor: CInt { descriptor.rawValue }

  /// Where the memory is mapped in this process, as a number: for a kernel interface that takes the
  /// address and nothing else (`KVM_SET_USER_MEMORY_REGION`). It is valid as long as this object
  /// lives; nobody makes a pointer of it.
  package var hostAddress: UInt64 {
    // Safety: the pointer becomes a number; nothing is dereferenced.
    unsafe UInt64(UInt(bitPattern: mapping.start))
  }

  /// Whether the peer shrank the file, so that a part of the memory is gone.
  public var isLost: Bool { mapping.isLost }

  /// Copies `bytes.byteCount` bytes out of the memory.
  ///
  /// - Throws: `EINVAL` past the end, `EIO` when the peer shrank the file.
  public func read(at offset: Int, into bytes: inout MutableRawSpan) throws(Errno) {
    try check(offset, bytes.byteCount)
    // Safety: the range was checked against the mapping, which lives as long as self.
    unsafe bytes.withUnsafeMutableBytes { target in
      guard let base = target.baseAddress else { return }
      unsafe base.copyMemory(from: mapping.start + offset, byteCount: target.count)
    }
    if mapping.isLost { throw .ioError }
  }

  /// Copies `bytes` into the memory.
  ///
  /// - Throws: `EINVAL` past the end, `EIO` when the peer shrank the file.
  public func write(at offset: Int, from bytes: RawSpan) throws(Errno) {
    try check(offset, bytes.byteCount)
    // Safety: as for `read`; the initialisers that allow writing map the file writable.
    unsafe bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      unsafe (mapping.start + offset).copyMemory(from: base, byteCount: source.count)
    }
    if mapping.isLost { throw .ioError }
  }

  /// Reads 1 to 8 bytes as a little-endian number: 1, 2, 4 or 8 aligned ones at once, others byte
  /// by byte, with acquire ordering.
  ///
  /// - Throws: `EINVAL` past the end and for another number of bytes, `EIO` when the peer shrank
  ///   the file.
  public func readWord(at offset: Int, byteCount: Int) throws(Errno) -> UInt64 {
    guard (1...8).contains(byteCount) else { throw .invalidArgument }
    try check(offset, byteCount)
    let word = mapping.readWord(at: offset, byteCount: byteCount)
    if mapping.isLost { throw .ioError }
    return word
  }

  /// Writes the low 1 to 8 bytes of a number, with release ordering; see `readWord`.
  ///
  /// The memory must have been mapped writable.
  /// - Throws: `EINVAL` past the end and for another number of bytes, `EIO` when the peer shrank
  ///   the file.
  public func writeWord(_ word: UInt64, at offset: Int, byteCount: Int) throws(Errno) {
    guard (1...8).contains(byteCount) else { throw .invalidArgument }
    try check(offset, byteCount)
    mapping.writeWord(word, at: offset, byteCount: byteCount)
    if mapping.isLost { throw .ioError }
  }

  /// Reads an aligned 32-bit value at once, with acquire ordering.
  ///
  /// - Throws: `EINVAL` past the end or unaligned, `EIO` when the peer shrank the file.
  public func load32(at offset: Int) throws(Errno) -> UInt32 {
    try check(offset, 4, alignment: 4)
    // Safety: checked and aligned above. Pairs with the peer's release store (a doorbell).
    let value = unsafe (mapping.start + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
      .pointee.load(ordering: .acquiring)
    if mapping.isLost { throw .ioError }
    return UInt32(littleEndian: value)
  }

  /// Writes an aligned 32-bit value at once, with release ordering; throws as `load32(at:)`.
  public func store32(_ value: UInt32, at offset: Int) throws(Errno) {
    try check(offset, 4, alignment: 4)
    // Safety: checked and aligned above. Pairs with the peer's acquire load.
    unsafe (mapping.start + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
      .pointee.store(value.littleEndian, ordering: .releasing)
    if mapping.isLost { throw .ioError }
  }

  /// Reads an aligned 64-bit value at once, with acquire ordering; throws as `load32(at:)`.
  public func load64(at offset: Int) throws(Errno) -> UInt64 {
    try check(offset, 8, alignment: 8)
    // Safety: checked and aligned above. Pairs with the peer's release store (a completion).
    let value = unsafe (mapping.start + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
      .pointee.load(ordering: .acquiring)
    if mapping.isLost { throw .ioError }
    return UInt64(littleEndian: value)
  }

  /// Writes an aligned 64-bit value at once, with release ordering; throws as `load32(at:)`.
  public func store64(_ value: UInt64, at offset: Int) throws(Errno) {
    try check(offset, 8, alignment: 8)
    // Safety: checked and aligned above. Pairs with the peer's acquire load.
    unsafe (mapping.start + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
      .pointee.store(value.littleEndian, ordering: .releasing)
    if mapping.isLost { throw .ioError }
  }

  @inline(__always)
  private func check(_ offset: Int, _ count: Int, alignment: Int = 1) throws(Errno) {
    guard offset >= 0, offset <= mapping.byteCount, count <= mapping.byteCount - offset,
      offset % alignment == 0
    else { throw .invalidArgument }
  }
}
