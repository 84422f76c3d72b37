import Synchronization

/// The right to move bytes of one granted range while I/O is in flight.
///
/// For I/O that another thread, or the kernel, carries out. While a lease lives, the reply to an unmap
/// of its range waits, and so does a reset: end it as soon as the I/O is over.
///
/// Threads: any. Copies of overlapping ranges at once see bytes in no particular order.
public final class DMALease: Sendable {
  /// What the lease covers.
  public let range: DMARange
  private let mapping: DMAMapping
  private let rights: DMARights
  private let ledger: LeaseLedger
  private let isEnded = Atomic<Bool>(false)

  init(_ range: DMARange, _ mapping: DMAMapping, _ rights: DMARights, ledger: LeaseLedger) {
    self.range = range
    self.mapping = mapping
    self.rights = rights
    self.ledger = ledger
    mapping.leases.retain()
    ledger.retain()
  }

  deinit { end() }

  /// Ends the lease early; later copies fail.
  public func end() {
    guard !isEnded.exchange(true, ordering: .acquiringAndReleasing) else { return }
    mapping.leases.release()
    ledger.release()
  }

  /// Copies memory at `offset` bytes into the lease.
  ///
  /// - Throws: `EINVAL` past the lease's end, `EPERM` without the right or after `end`, `EIO` when
  ///   the client took the memory away.
  public func read(at offset: Int, into bytes: inout MutableRawSpan) throws(Errno) {
    let place = try check(offset, bytes.byteCount, .read)
    try mapping.copyOut(place, into: &bytes, 0..<bytes.byteCount)
  }

  /// Copies `bytes` to memory at `offset` bytes into the lease; throws as `read` does.
  public func write(at offset: Int, from bytes: RawSpan) throws(Errno) {
    let place = try check(offset, bytes.byteCount, .write)
    try mapping.copyIn(place, from: bytes, 0..<bytes.byteCount)
  }

  private func check(_ offset: Int, _ count: Int, _ right: DMARights) throws(Errno) -> UInt64 {
    guard offset >= 0, UInt64(offset) <= range.byteCount,
      UInt64(count) <= range.byteCount - UInt64(offset)
    else { throw .invalidArgument }
    guard rights.contains(right), !isEnded.load(ordering: .acquiring) else { throw .notPermitted }
    return range.address.rawValue - mapping.range.address.rawValue + UInt64(offset)
  }
}
