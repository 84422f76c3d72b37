import BlockStorage
import Synchronization

/// Blocks that a driver can address: one storage, seen in blocks of a size that can be changed.
///
/// Threads: any.
final class NVMeNamespace: Sendable {
  /// Namespace identifier (NSID), from 1.
  let identifier: UInt32
  let storage: any BlockStorage
  /// The storage's size in bytes.
  let byteCount: UInt64
  let isReadOnly: Bool
  /// IEEE Extended Unique Identifier (EUI64), the same each time for a serial number.
  let extendedUniqueIdentifier: UInt64
  /// What the health log counts.
  let counters = NamespaceCounters()

  private let shift: Atomic<Int>
  /// Blocks that Write Uncorrectable has made unreadable; gone when the process ends.
  private let uncorrectable = UncorrectableBlocks()
  private let mayBeUncorrectable = Atomic<Bool>(false)
  private let formatting = Atomic<Bool>(false)

  /// - Parameter blockByteCount: the size of a block in bytes, 512 or 4096.
  init(
    identifier: UInt32, storage: any BlockStorage, blockByteCount: Int, serial: String
  ) {
    self.identifier = identifier
    self.storage = storage
    byteCount = storage.byteCount
    isReadOnly = storage.traits.isReadOnly
    shift = Atomic(blockByteCount.trailingZeroBitCount)
    // FNV-1a of the serial number, under a locally administered identifier.
    let hash = FNV.hash("\(serial)/\(identifier)")
    extendedUniqueIdentifier = hash & 0x00ff_ffff_ffff_ffff | 0x0200_0000_0000_0000
  }

  /// A block's size in bytes, as a power of two: 9 or 12.
  @inline(__always) var blockShift: Int { shift.load(ordering: .relaxed) }
  /// A block's size in bytes.
  var blockByteCount: Int { 1 << blockShift }
  /// Namespace Size (NSZE): how many blocks there are.
  @inline(__always) var blockCount: UInt64 { byteCount >> UInt64(blockShift) }

  /// Changes the size of blocks, as Format NVM does; nothing may be in flight.
  func setBlockByteCount(_ count: Int) {
    shift.store(count.trailingZeroBitCount, ordering: .relaxed)
    forgetUncorrectable()
  }

  /// Whether a format is going on, so that I/O is refused.
  var isFormatting: Bool {
    get { formatting.load(ordering: .acquiring) }
    set { formatting.store(newValue, ordering: .releasing) }
  }

  // MARK: Uncorrectable blocks

  /// Whether any block may be unreadable: one load, for the path of every command.
  @inline(__always) var hasUncorrectable: Bool { mayBeUncorrectable.load(ordering: .acquiring) }

  /// The first unreadable block of a range.
  func firstUncorrectable(in range: Range<UInt64>) -> UInt64? {
    uncorrectable.first(in: range)
  }

  /// Makes blocks unreadable; false when that would be too many ranges to remember.
  func markUncorrectable(_ range: Range<UInt64>) -> Bool {
    guard uncorrectable.insert(range) else { return false }
    mayBeUncorrectable.store(true, ordering: .releasing)
    return true
  }

  /// The range was written, and can be read again.
  func markWritten(_ range: Range<UInt64>) {
    uncorrectable.remove(range) { mayBeUncorrectable.store(false, ordering: .releasing) }
  }

  func forgetUncorrectable() {
    uncorrectable.removeAll()
    mayBeUncorrectable.store(false, ordering: .releasing)
  }
}
