/// What a request asks of a block storage.
public enum BlockOperation: UInt8, Sendable, Hashable {
  /// Storage to memory.
  case read
  /// Memory to storage.
  case write
  /// Everything written before is on the medium when this completes.
  case flush
  /// The range reads as zeros afterwards; its space stays allocated where the storage can tell.
  case writeZeroes
  /// The range is no longer needed: its space is freed where the storage can, and it reads as zeros.
  case discard
}
