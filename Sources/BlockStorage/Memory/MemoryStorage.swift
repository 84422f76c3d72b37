import Glibc
public import VFIOUser

/// Blocks in anonymous memory of this process; gone with it.
///
/// Memory is taken as it is written: reading what was never written, or was discarded, gives zeros.
/// Channels copy and are done at once. Several loops may share one storage; where requests that run
/// at the same time overlap, the bytes are those of either, in no particular order.
///
/// Threads: any.
@safe
public final class MemoryStorage: BlockStorage, @unchecked Sendable {
  /// The size in bytes.
  public let byteCount: UInt64
  /// `memory:` and the size.
  public let name: String
  /// Those of memory: discarded space is given back.
  public let traits: BlockStorageTraits
  /// The first byte; `byteCount` bytes are mapped until deinit.
  let start: UnsafeMutableRawPointer

  /// Reserves `byteCount` bytes that read as zeros.
  ///
  /// - Throws: `EINVAL` for a size of 0, `ENOMEM` where the address space does not hold it.
  public init(byteCount: UInt64) throws(Errno) {
    guard byteCount > 0 else { throw .invalidArgument }
    guard byteCount <= UInt64(Int.max / 2) else { throw .noMemory }
    // Safety: a new mapping at an address of the kernel's choice, which nobody else knows.
    let result = unsafe mmap(
      nil, Int(byteCount), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let result = unsafe result, unsafe result != MAP_FAILED else {
      throw Errno(rawValue: errno)
    }
    unsafe start = result
    // Huge pages where the kernel has some: fewer faults, and random access misses the TLB less. It
    // may take memory in steps of 2 MiB then.
    // Safety: advice on our own mapping; refusing it changes nothing.
    _ = unsafe madvise(result, Int(byteCount), CInt(MADV_HUGEPAGE))
    self.byteCount = byteCount
    name = "memory:\(StorageSize.text(byteCount))"
    var traits = BlockStorageTraits()
    traits.canDiscard = true
    self.traits = traits
  }

  deinit {
    // Safety: the whole of our own mapping; channels hold a reference.
    _ = unsafe munmap(start, Int(byteCount))
  }

  /// A channel; it needs nothing of the loop.
  public func makeChannel(on loop: EventLoop) -> any BlockChannel { MemoryChannel(self) }

  /// Sets a range within the storage to zero, and gives whole pages of it back where that pays.
  func erase(at offset: Int, byteCount count: Int) {
    guard count >= Self.smallestReleasedByteCount else {
      // Safety: the caller checked the range.
      unsafe memset(start + offset, 0, count)
      return
    }
    let first = (offset + Self.pageByteCount - 1) & ~(Self.pageByteCount - 1)
    let end = (offset + count) & ~(Self.pageByteCount - 1)
    // Safety: whole pages within the checked range, which read as zeros after they are given back;
    // the rest of the range is set to zero. An access at the same time finds old bytes or zeros.
    unsafe memset(start + offset, 0, first - offset)
    if unsafe madvise(start + first, end - first, MADV_DONTNEED) != 0 {
      unsafe memset(start + first, 0, end - first)
    }
    unsafe memset(start + end, 0, offset + count - end)
  }

  /// Below this, setting bytes is cheaper than to give pages back and take new ones.
  private static let smallestReleasedByteCount = 65536
  /// The size of a page, in bytes.
  private static let pageByteCount = sysconf(CInt(_SC_PAGESIZE))
}
