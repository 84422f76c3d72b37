import CVFIOUserLinux

/// A device's way to the client's memory, over mappings or messages: the device does not notice.
///
/// Devices get copies, never addresses of this process. An access may cross from one grant into the
/// next; every byte must be granted with the right that it needs, which is checked before the first
/// byte moves. A peer may change mapped memory at any time: copy once, check the copy, use the copy.
///
/// The completion form never blocks. The blocking form waits for the client where memory is reached
/// by messages: do not use it inside a region access, for a client that waits for that access may
/// answer nothing else in the meantime. An engine of another loop than the device's own hands its
/// messages to that loop, which goes on working meanwhile.
///
/// Threads: confined to its loop.
@safe
public final class DMAEngine {
  /// Whether the bus lets the device access memory (PCI: the bus-master enable bit). All engines of a
  /// device share it.
  public var isEnabled: Bool {
    get { gate.isOpen }
    set { gate.isOpen = newValue }
  }

  let loop: EventLoop
  let gate: DMAGate
  /// The I/O in flight over all of the client's memory.
  let ledger: LeaseLedger
  /// Changes whenever what the engine knows of the grants does; never 0.
  private(set) var generation: UInt64 = 1
  /// Reaches the memory that the client keeps to itself; for the engine of the session's own loop.
  weak var channel: (any DMAMessageChannel)?
  /// The engine of the session's own loop, for those of other loops.
  let home: LoopConfined<DMAEngine>?
  /// Ends what engines of other loops wait for.
  let remoteAccess: RemoteAccess

  private(set) var snapshot: DMASnapshot
  /// The table of `snapshot`, so that a lookup counts no references.
  private var grants: UnsafeMutablePointer<DMASnapshot.Grant>
  /// The grant that served the last access: rings and descriptors hit it again and again.
  private(set) var recent = 0
  /// What the client has granted; nil for an engine without a session.
  private let table: DMATable?
  private var isStale = false
  /// The process's count of lost pages at which none of the grants had lost one; `.max` when one has.
  private(set) var intactAtLossCount: UInt64 = 0
  private var checkedLossCount: UInt64 = 0

  init(loop: EventLoop, table: DMATable?, ledger: LeaseLedger = LeaseLedger()) {
    self.loop = loop
    self.table = table
    self.ledger = ledger
    gate = DMAGate()
    home = nil
    remoteAccess = RemoteAccess()
    snapshot = .empty
    // Safety: the table lives as long as the snapshot, which is replaced together with it.
    unsafe grants = snapshot.grants
  }

  /// An engine over the same memory for another loop, which is told there when the grants change.
  init(home: DMAEngine, loop: EventLoop) {
    self.loop = loop
    self.home = LoopConfined(home)
    table = home.table
    ledger = home.ledger
    gate = home.gate
    remoteAccess = home.remoteAccess
    snapshot = home.snapshot
    // Safety: as above.
    unsafe grants = snapshot.grants
    noteLosses()
    if table != nil { invalidate() }
  }

  /// Takes over a state of the grants.
  func adopt(_ snapshot: DMASnapshot) {
    self.snapshot = snapshot
    // Safety: as in `init`.
    unsafe grants = snapshot.grants
    generation &+= 1
    recent = 0
    noteLosses()
  }

  /// Lets go of the snapshot: the next access asks the table. For changes of the grants.
  func invalidate() {
    adopt(.empty)
    isStale = true
  }

  /// Asks the table where the grants have changed.
  @inline(__always)
  func refresh() {
    assert(loop.isCurrent)
    if isStale { adoptFromTable() }
  }

  @inline(never)
  private func adoptFromTable() {
    guard let table else { return }
    isStale = false
    adopt(table.snapshot)
  }

  // MARK: Lookup

  /// Where the whole access lies in this process; nil where it takes more than one mapped grant to
  /// serve it, or is not granted. `recent` is its grant then.
  @inline(__always)
  func resolve(
    _ address: UInt64, _ count: Int, _ right: DMARights
  ) -> UnsafeMutableRawPointer? {
    assert(loop.isCurrent)
    // Safety: `recent` is below the table's length, which is at least 1.
    var grant = unsafe grants + recent
    if unsafe !grant.pointee.contains(address) {
      guard let found = find(address) else { return nil }
      // Safety: an index of the present table.
      unsafe grant = unsafe grants + found
    }
    // Safety: as above. The offset lies within the mapping, and so does the rest of the access.
    guard unsafe UInt64(bitPattern: Int64(count)) &- 1 <= grant.pointee.last &- address,
      unsafe grant.pointee.rights & right.rawValue == right.rawValue,
      let start = unsafe grant.pointee.start
    else { return nil }
    return unsafe start + Int(bitPattern: UInt(address &- grant.pointee.first))
  }

  /// The grant that holds `address`, which becomes the recent one.
  @inline(never)
  func find(_ address: UInt64) -> Int? {
    refresh()
    guard let found = snapshot.index(containing: address) else { return nil }
    recent = found
    return found
  }

  /// The grants that an access touches, in order, each with the part of the access that it serves.
  ///
  /// - Throws: before anything moved, when a byte is not granted or not with this right.
  func pieces(
    _ address: DMAAddress, _ count: Int, _ right: DMARights
  ) throws(DMAError) -> [Piece] {
    guard isEnabled else { throw DMAError(.disabled, address, count) }
    refresh()
    guard count != 0 else { return [] }
    guard count > 0, let range = DMARange(address: address, byteCount: UInt64(count)),
      var index = snapshot.index(containing: address.rawValue)
    else { throw DMAError(.notMapped, address, count) }
    var pieces: [Piece] = []
    var done = 0
    while true {
      let mapping = snapshot.mappings[index]
      guard mapping.rights.isSuperset(of: right) else {
        throw DMAError(.notPermitted, address, count)
      }
      let offset = address.rawValue + UInt64(done) - mapping.range.address.rawValue
      let step = Int(min(UInt64(count - done), mapping.range.byteCount - offset))
      pieces.append(
        Piece(mapping: mapping, grant: index, offset: offset, part: done..<(done + step)))
      done += step
      if done == count { return pieces }
      index += 1
      guard index < snapshot.mappings.count,
        snapshot.mappings[index].range.address.rawValue == range.address.rawValue + UInt64(done)
      else { throw DMAError(.notMapped, address, count) }
    }
  }

  /// What one grant serves of an access.
  struct Piece {
    let mapping: DMAMapping
    /// The grant's place in the snapshot.
    let grant: Int
    /// Where the piece starts within the grant.
    let offset: UInt64
    /// Which bytes of the access it is.
    let part: Range<Int>

    /// Where the piece starts in the client's address space.
    var address: DMAAddress { DMAAddress(mapping.range.address.rawValue + offset) }
  }

  // MARK: Questions

  /// Whether every byte of `range` is granted with all of `rights`, at this moment.
  ///
  /// For a device that checks what a guest asks for before it starts; the access itself checks again.
  public func permits(_ range: DMARange, _ rights: DMARights) -> Bool {
    refresh()
    guard gate.isOpen else { return false }
    let address = range.address.rawValue
    // Safety: `recent` is below the table's length; `find` answers with an index of it.
    if unsafe grants[recent].contains(address) || find(address) != nil {
      let grant = unsafe grants[recent]
      if range.lastAddress.rawValue <= grant.last {
        return grant.rights & rights.rawValue == rights.rawValue
      }
    }
    return (try? pieces(range.address, Int(clamping: range.byteCount), rights)) != nil
  }

  // MARK: I/O in flight

  /// Leases a range for I/O that another thread carries out.
  ///
  /// - Throws: as an access does; `notMapped` also where the range is not one grant's, or the client
  ///   serves it by messages: copy through `read` and `write` then.
  public func lease(_ range: DMARange, _ rights: DMARights) throws(DMAError) -> DMALease {
    let count = Int(clamping: range.byteCount)
    let pieces = try pieces(range.address, count, rights)
    guard pieces.count == 1, pieces[0].mapping.access != .messages else {
      throw DMAError(.notMapped, range.address, count)
    }
    return DMALease(range, pieces[0].mapping, rights, ledger: ledger)
  }

  // MARK: Memory that the client took away

  /// Whether nothing that the engine can reach was lost, as far as a glance tells.
  ///
  /// Ask after the access: a page that it met, lost, is counted by then.
  @inline(__always)
  var isIntact: Bool { intactAtLossCount == cvfu_loss_count() }

  /// Whether a page of the given grant of the present snapshot was lost. For when `isIntact` is not.
  @inline(never)
  func hasLost(_ grant: Int) -> Bool {
    let now = cvfu_loss_count()
    if now != checkedLossCount {
      checkedLossCount = now
      intactAtLossCount = snapshot.mappings.contains(where: \.isLost) ? .max : now
    }
    guard intactAtLossCount == .max, snapshot.mappings.indices.contains(grant) else { return false }
    return snapshot.mappings[grant].isLost
  }

  private func noteLosses() {
    checkedLossCount = snapshot.lossCount
    intactAtLossCount = snapshot.hasLost ? .max : snapshot.lossCount
  }
}
