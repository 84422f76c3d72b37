import Synchronization

/// What was done with a namespace since the process started, over all loops.
///
/// Threads: any; the sums are right once nothing is in flight.
///
/// Source: NVMe 1.4, figure 194 (SMART / Health Information).
final class NamespaceCounters: Sendable {
  private let reads = Atomic<UInt64>(0)
  private let writes = Atomic<UInt64>(0)
  private let readBytes = Atomic<UInt64>(0)
  private let writtenBytes = Atomic<UInt64>(0)
  private let mediaErrors = Atomic<UInt64>(0)

  /// Adds what one loop has counted by itself.
  func add(_ tally: NamespaceTally) {
    reads.wrappingAdd(tally.reads, ordering: .relaxed)
    writes.wrappingAdd(tally.writes, ordering: .relaxed)
    readBytes.wrappingAdd(tally.readBytes, ordering: .relaxed)
    writtenBytes.wrappingAdd(tally.writtenBytes, ordering: .relaxed)
  }

  /// One more error of the storage that a driver was told of.
  func noteMediaError() { mediaErrors.wrappingAdd(1, ordering: .relaxed) }

  /// How many commands have read.
  var readCount: UInt64 { reads.load(ordering: .relaxed) }
  /// How many commands have written.
  var writeCount: UInt64 { writes.load(ordering: .relaxed) }
  /// How many bytes were read.
  var readByteCount: UInt64 { readBytes.load(ordering: .relaxed) }
  /// How many bytes were written.
  var writtenByteCount: UInt64 { writtenBytes.load(ordering: .relaxed) }
  /// How many commands failed for an error of the storage.
  var mediaErrorCount: UInt64 { mediaErrors.load(ordering: .relaxed) }
}

/// What one loop has done with a namespace since it last added it to the namespace's counters.
struct NamespaceTally {
  var reads: UInt64 = 0
  var writes: UInt64 = 0
  var readBytes: UInt64 = 0
  var writtenBytes: UInt64 = 0
}
