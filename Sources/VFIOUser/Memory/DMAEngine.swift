/// A device's way to the client's memory, over mappings or messages: the device does not notice.
///
/// Devices get copies, never addresses of this process. An access may cross from one grant into the
/// next; every byte must be granted with the right that it needs, which is checked before the first
/// byte moves. A peer may change mapped memory at any time: copy once, check the copy, use the copy.
///
/// The completion form never blocks. The blocking form waits for the client where memory is reached
/// by messages: do not use it inside a region access, for a client that waits for that access may
/// answer nothing else in the meantime.
///
/// Threads: confined to its loop.
public final class DMAEngine {
  /// Whether the bus lets the device access memory (PCI: the bus-master enable bit).
  public var isEnabled = true

  let loop: EventLoop
  /// The I/O in flight over all of the client's memory.
  private let ledger: LeaseLedger
  private var snapshot: DMASnapshot = .empty
  /// The grant that served the last access: rings and descriptors hit it again and again.
  private var recent = 0
  /// The table, for the engine of the session's own loop; others adopt what is published.
  private let table: DMATable?
  weak var channel: (any DMAMessageChannel)?

  init(loop: EventLoop, table: DMATable?, ledger: LeaseLedger = LeaseLedger()) {
    self.loop = loop
    self.table = table
    self.ledger = ledger
  }

  /// An engine over the same memory for another loop; it adopts what is published there.
  func makeRemote(on other: EventLoop) -> DMAEngine {
    let engine = DMAEngine(loop: other, table: nil, ledger: ledger)
    if let table { engine.snapshot = table.snapshot }
    return engine
  }

  /// Takes over what the session published.
  func adopt(_ snapshot: DMASnapshot) {
    self.snapshot = snapshot
    recent = 0
  }

  /// Lets go of the snapshot: the next access asks the table.
  func invalidate() {
    adopt(.empty)
    isStale = true
  }
  private var isStale = false

  // MARK: Blocking form

  /// Copies guest memory into `bytes`.
  public func read(at address: DMAAddress, into bytes: inout MutableRawSpan) throws(DMAError) {
    let count = bytes.byteCount
    if let (mapping, offset) = try direct(address, count, .read) {
      do { try mapping.copyOut(offset, into: &bytes, 0..<count) } catch {
        throw DMAError(.lost, address, count)
      }
      return
    }
    try forEachPiece(address, count, .read) { (mapping, offset, part) throws(DMAError) in
      if mapping.access == .messages {
        let place = DMAAddress(mapping.range.address.rawValue + offset)
        let data = try blockingRead(place, part.count)
        var target = bytes._mutatingExtracting(part)
        guard data.count == part.count, (try? target.store(bytes: data.rawSpan, at: 0)) != nil
        else {
          throw DMAError(.clientFailed, address, count)
        }
      } else {
        do { try mapping.copyOut(offset, into: &bytes, part) } catch {
          throw DMAError(.lost, address, count)
        }
      }
    }
  }

  /// Copies `bytes` into guest memory.
  public func write(at address: DMAAddress, from bytes: RawSpan) throws(DMAError) {
    let count = bytes.byteCount
    if let (mapping, offset) = try direct(address, count, .write) {
      do { try mapping.copyIn(offset, from: bytes, 0..<count) } catch {
        throw DMAError(.lost, address, count)
      }
      return
    }
    try forEachPiece(address, count, .write) { (mapping, offset, part) throws(DMAError) in
      if mapping.access == .messages {
        let place = DMAAddress(mapping.range.address.rawValue + offset)
        try blockingWrite(place, [UInt8](copying: bytes.extracting(part)))
      } else {
        do { try mapping.copyIn(offset, from: bytes, part) } catch {
          throw DMAError(.lost, address, count)
        }
      }
    }
  }

  /// Reads a little-endian integer.
  public func load<Value: FixedWidthInteger & BitwiseCopyable>(
    at address: DMAAddress, as type: Value.Type = Value.self
  ) throws(DMAError) -> Value {
    var bytes: [16 of UInt8] = .init(repeating: 0)
    let width = MemoryLayout<Value>.size
    var span = bytes.mutableSpan
    // Safety: bytes have neither padding nor invalid values.
    var raw = unsafe span.mutableBytes
    var part = raw._mutatingExtracting(0..<width)
    try read(at: address, into: &part)
    guard let value = try? part.bytes.load(at: 0, as: Value.self) else {
      throw DMAError(.unaligned, address, width)
    }
    return value
  }

  /// Writes a little-endian integer.
  public func store<Value: FixedWidthInteger & BitwiseCopyable>(
    _ value: Value, at address: DMAAddress
  ) throws(DMAError) {
    var bytes: [16 of UInt8] = .init(repeating: 0)
    var span = bytes.mutableSpan
    // Safety: bytes have neither padding nor invalid values.
    var raw = unsafe span.mutableBytes
    // The buffer holds the widest integer, so this cannot fail.
    try? raw.store(value, at: 0)
    try write(at: address, from: raw.bytes.extracting(0..<MemoryLayout<Value>.size))
  }

  // MARK: Completion form

  /// Copies guest memory and hands it to `completion`, now or when the client has answered.
  public func read(
    at address: DMAAddress, byteCount: Int,
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    DMATransfer(engine: self, address: address, right: .read, byteCount: byteCount) {
      completion($0)
    }.start()
  }

  /// Copies `bytes` into guest memory and tells `completion`, now or when the client has answered.
  public func write(
    at address: DMAAddress, bytes: [UInt8],
    completion: @escaping (Result<Void, DMAError>) -> Void
  ) {
    DMATransfer(
      engine: self, address: address, right: .write, byteCount: bytes.count, bytes: bytes
    ) {
      completion($0.map { _ in })
    }.start()
  }

  // MARK: Questions

  /// Whether every byte of `range` is granted with all of `rights`, at this moment.
  ///
  /// For a device that checks what a guest asks for before it starts; the access itself checks again.
  public func permits(_ range: DMARange, _ rights: DMARights) -> Bool {
    let count = Int(clamping: range.byteCount)
    refresh()
    guard isEnabled else { return false }
    if let index = findGrant(range.address.rawValue),
      let granted = snapshot.rights(index, over: range)
    {
      return granted.isSuperset(of: rights)
    }
    return (try? pieces(range.address, count, rights)) != nil
  }

  // MARK: I/O in flight

  /// Leases a range for I/O that another thread carries out.
  ///
  /// - Throws: as an access does; `notMapped` also where the range is not one grant's, or the client
  ///   serves it by messages: copy through `read` and `write` then.
  public func lease(_ range: DMARange, _ rights: DMARights) throws(DMAError) -> DMALease {
    let count = Int(clamping: range.byteCount)
    guard let (mapping, _) = try direct(range.address, count, rights) else {
      throw DMAError(.notMapped, range.address, count)
    }
    return DMALease(range, mapping, rights, ledger: ledger)
  }

  // MARK: Lookup

  /// Refreshes the snapshot where this engine shares the session's loop.
  @inline(__always)
  private func refresh() {
    assert(loop.isCurrent)
    guard isStale, let table else { return }
    isStale = false
    adopt(table.snapshot)
  }

  /// The index of the grant that holds `address`; the one of the last access is tried first.
  @inline(__always)
  private func findGrant(_ address: UInt64) -> Int? {
    if snapshot.grant(recent, contains: address) { return recent }
    guard let found = snapshot.index(containing: address) else { return nil }
    recent = found
    return found
  }

  /// The mapped grant that holds the whole access, and where; nil where it takes more than that.
  @inline(__always)
  private func direct(
    _ address: DMAAddress, _ count: Int, _ right: DMARights
  ) throws(DMAError) -> (DMAMapping, UInt64)? {
    guard isEnabled else { throw DMAError(.disabled, address, count) }
    refresh()
    guard let place = findGrant(address.rawValue) else {
      if count == 0 { return nil }
      throw DMAError(.notMapped, address, count)
    }
    let mapping = snapshot.mappings[place]
    let offset = address.rawValue - mapping.range.address.rawValue
    guard UInt64(count) <= mapping.range.byteCount - offset, mapping.access != .messages else {
      return nil
    }
    guard mapping.rights.contains(right) else { throw DMAError(.notPermitted, address, count) }
    return (mapping, offset)
  }

  /// The grants that an access touches, in order, each with the part of the access that it serves.
  ///
  /// - Throws: before anything moved, when a byte is not granted or not with this right.
  func pieces(
    _ address: DMAAddress, _ count: Int, _ right: DMARights
  ) throws(DMAError) -> [(mapping: DMAMapping, offset: UInt64, part: Range<Int>)] {
    guard isEnabled else { throw DMAError(.disabled, address, count) }
    refresh()
    guard count > 0 else { return [] }
    guard let range = DMARange(address: address, byteCount: UInt64(count)),
      var index = snapshot.index(containing: address.rawValue)
    else { throw DMAError(.notMapped, address, count) }
    var pieces: [(mapping: DMAMapping, offset: UInt64, part: Range<Int>)] = []
    var done = 0
    while true {
      let mapping = snapshot.mappings[index]
      guard mapping.rights.contains(right) else { throw DMAError(.notPermitted, address, count) }
      let offset = address.rawValue + UInt64(done) - mapping.range.address.rawValue
      let step = Int(min(UInt64(count - done), mapping.range.byteCount - offset))
      pieces.append((mapping, offset, done..<(done + step)))
      done += step
      if done == count { return pieces }
      index += 1
      guard index < snapshot.mappings.count,
        snapshot.mappings[index].range.address.rawValue == range.address.rawValue + UInt64(done)
      else { throw DMAError(.notMapped, address, count) }
    }
  }

  private func forEachPiece(
    _ address: DMAAddress, _ count: Int, _ right: DMARights,
    _ body: (DMAMapping, UInt64, Range<Int>) throws(DMAError) -> Void
  ) throws(DMAError) {
    for piece in try pieces(address, count, right) {
      try body(piece.mapping, piece.offset, piece.part)
    }
  }

  // MARK: Messages

  private func blockingRead(_ address: DMAAddress, _ count: Int) throws(DMAError) -> [UInt8] {
    try exchange(address, count) { channel, completion in
      DMATransfer.read(channel, address, count, completion)
    }
  }

  private func blockingWrite(_ address: DMAAddress, _ bytes: [UInt8]) throws(DMAError) {
    _ = try exchange(address, bytes.count) { channel, completion in
      DMATransfer.write(channel, address, bytes, completion)
    }
  }

  private func exchange(
    _ address: DMAAddress, _ count: Int,
    _ start: (
      any DMAMessageChannel, @escaping (Result<[UInt8], DMAError>) -> Void
    ) -> Void
  ) throws(DMAError) -> [UInt8] {
    guard let channel else { throw DMAError(.cancelled, address, count) }
    var outcome: Result<[UInt8], DMAError>?
    start(channel) { outcome = $0 }
    guard channel.pump(until: { outcome != nil }), let outcome else {
      throw DMAError(.timedOut, address, count)
    }
    return try outcome.get()
  }
}
