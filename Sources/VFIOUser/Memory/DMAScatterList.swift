/// Where the bytes of one transfer lie in guest memory, in order.
///
/// Made once and used again. Loop-confined like its engine; between ``beginTransfer()`` and
/// ``endTransfer()`` another thread, or the kernel, may use the addresses.
public final class DMAScatterList {
  private let engine: DMAEngine
  private var parts: [(address: DMAAddress, byteCount: Int)] = []
  /// How many bytes the list covers.
  public private(set) var byteCount = 0

  /// An empty list over the memory that `engine` reaches.
  public init(_ engine: DMAEngine) { self.engine = engine }

  /// How many stretches of memory it has.
  public var segmentCount: Int { parts.count }

  /// Empties the list; its storage is kept.
  public func removeAll() {
    parts.removeAll(keepingCapacity: true)
    byteCount = 0
  }

  /// Adds a stretch of guest memory; one that continues the last is joined with it.
  ///
  /// - Throws: ``DMAError`` when a byte of it is not granted with these rights.
  public func append(
    _ address: DMAAddress, _ byteCount: Int, _ rights: DMARights
  ) throws(DMAError) {
    guard let range = DMARange(address: address, byteCount: UInt64(byteCount)),
      engine.permits(range, rights)
    else { throw DMAError(.notMapped, address, byteCount) }
    parts.append((address, byteCount))
    self.byteCount += byteCount
  }

  /// Copies bytes out of guest memory, from `offset` bytes into the list.
  public func read(at offset: Int, into bytes: inout MutableRawSpan) throws(DMAError) {
    var skipped = 0
    var done = 0
    for part in parts where done < bytes.byteCount {
      let start = max(offset + done - skipped, 0)
      if start < part.byteCount {
        let count = min(part.byteCount - start, bytes.byteCount - done)
        var target = bytes._mutatingExtracting(done..<(done + count))
        try engine.read(at: DMAAddress(part.address.rawValue + UInt64(start)), into: &target)
        done += count
      }
      skipped += part.byteCount
    }
  }

  /// Copies `bytes` to guest memory, from `offset` bytes into the list.
  public func write(at offset: Int, from bytes: RawSpan) throws(DMAError) {
    var skipped = 0
    var done = 0
    for part in parts where done < bytes.byteCount {
      let start = max(offset + done - skipped, 0)
      if start < part.byteCount {
        let count = min(part.byteCount - start, bytes.byteCount - done)
        try engine.write(
          at: DMAAddress(part.address.rawValue + UInt64(start)),
          from: bytes.extracting(done..<(done + count)))
        done += count
      }
      skipped += part.byteCount
    }
  }

  /// Whether every byte is mapped in this process, so that I/O can go there directly.
  public var isMapped: Bool { false }

  /// Keeps the memory in place until ``endTransfer()``: an unmap or a reset waits for it.
  public func beginTransfer() {}

  /// The I/O has ended.
  public func endTransfer() {}
}
