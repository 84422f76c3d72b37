import CVFIOUserLinux

/// A span of a file mapped into this process, unmapped when its owner lets go of it.
///
/// A peer may own the file and may shrink it at any time; the mapping is registered with the
/// bus-error guard, and `isLost` tells whether a page vanished. The address stays inside the
/// core: callers copy through bounds-checked functions.
@safe
struct MemoryMapping: ~Copyable, @unchecked Sendable {
  /// The first mapped byte that belongs to the span.
  let start: UnsafeMutableRawPointer
  /// The span's size in bytes.
  let byteCount: Int
  /// Where the kernel's mapping begins: at most a page before `start`.
  private let base: UnsafeMutableRawPointer
  private let mappedByteCount: Int
  private let guardSlot: CInt

  /// Maps `byteCount` bytes of the file from `offset`, shared.
  ///
  /// - Throws: `EINVAL` for an empty span or one that no mapping can hold, `ENOMEM` when the process has
  ///   too many (`MappingBudget`), else what mmap(2) says.
  init(
    descriptor: CInt, offset: UInt64, byteCount: UInt64, readable: Bool, writable: Bool
  ) throws(Errno) {
    let pageSize = UInt64(Self.pageSize)
    let slack = offset % pageSize
    let (length, overflow) = byteCount.addingReportingOverflow(slack)
    guard byteCount > 0, !overflow, length <= UInt64(Int.max / 2),
      offset - slack <= UInt64(Int64.max)
    else { throw .invalidArgument }
    guard MappingBudget.take() else { throw .noMemory }
    // Safety: a new mapping at an address of the kernel's choice; nothing else is touched.
    var error: CInt = 0
    guard
      let result = unsafe cvfu_map(
        descriptor, offset - slack, Int(length), readable, writable, &error)
    else {
      MappingBudget.giveBack()
      throw Errno(rawValue: error)
    }
    unsafe base = result
    mappedByteCount = Int(length)
    unsafe start = unsafe result + Int(slack)
    self.byteCount = Int(byteCount)
    // Where the guard's table is full the mapping works, unguarded against a shrinking file.
    // Safety: the range was just mapped, and is released before it is unmapped.
    guardSlot = unsafe cvfu_guard_mapping(result, Int(length))
  }

  deinit {
    cvfu_release_mapping(guardSlot)
    // Safety: the whole of our own mapping; whoever could use it held a lease and has returned it.
    _ = unsafe munmap(base, mappedByteCount)
    MappingBudget.giveBack()
  }

  /// Whether a page of the mapping vanished and reads as zeros since.
  @inline(__always)
  var isLost: Bool { cvfu_loss_count() != 0 && cvfu_mapping_is_lost(guardSlot) }

  /// The size of a page, in bytes.
  static let pageSize: Int = sysconf(CInt(_SC_PAGESIZE))
}
