import CVFIOUserLinux

/// Where the bytes of one transfer lie, in order: guest memory, and buffers of this process.
///
/// Made once and used again: emptying it keeps its storage, and adding to it allocates only while it
/// grows. What it knows of the client's grants stays right when they change; memory that was taken
/// back fails the next use.
///
/// Threads: confined to its engine's loop. Between ``beginTransfer()`` and ``endTransfer()`` another
/// thread, or the kernel, may use the addresses.
@safe
public final class DMAScatterList {
  /// Where a segment came from.
  struct Origin {
    /// The address in the client's memory; for a buffer, the offset in it.
    var address: UInt64
    /// The grant's place in the engine's snapshot, or one of the values below.
    var grant: UInt32

    /// An ``IOBuffer``.
    static let buffer = UInt32.max
    /// Guest memory that is not mapped here as a whole: the engine reaches it.
    static let elsewhere = UInt32.max - 1
  }

  let engine: DMAEngine
  /// How many stretches of memory it has.
  public private(set) var segmentCount = 0
  /// How many bytes the list covers.
  public private(set) var byteCount = 0
  /// `segmentCount` stretches; without an address where `Origin.elsewhere` says so.
  private(set) var vectors: UnsafeMutablePointer<iovec>
  private(set) var origins: UnsafeMutablePointer<Origin>
  private var capacity = 4
  /// The engine's generation that the addresses belong to.
  private var generation: UInt64 = 0
  /// How many segments the engine has to reach.
  private var elsewhereCount = 0
  /// What the device may do with all of the list.
  private(set) var rights: DMARights = [.read, .write]
  /// Keeps the buffers of the list.
  private var buffers: [IOBuffer] = []
  /// The grants that a transfer in progress keeps in place.
  private(set) var leased: [DMAMapping] = []
  /// Whether a transfer is in progress.
  public private(set) var isInTransfer = false
  /// Vectors of a part of the list, for whoever asked last.
  private var partialVectors: UnsafeMutablePointer<iovec>?
  private var partialCapacity = 0
  /// Where the last search for an offset ended: a segment and its first byte's offset in the list.
  private var recentSegment = 0
  private var recentOffset = 0

  /// An empty list over the memory that `engine` reaches.
  public init(_ engine: DMAEngine) {
    self.engine = engine
    // Safety: owned storage of trivial types; `segmentCount` entries of each are initialised.
    unsafe vectors = .allocate(capacity: capacity)
    unsafe origins = .allocate(capacity: capacity)
  }

  deinit {
    if isInTransfer { endTransfer() }
    // Safety: this object's own storage; nobody borrows it any longer than a call.
    unsafe vectors.deallocate()
    unsafe origins.deallocate()
    unsafe partialVectors?.deallocate()
  }

  /// Empties the list; its storage is kept. Not while a transfer is in progress.
  public func removeAll() {
    precondition(!isInTransfer, "the list is in use by a transfer")
    segmentCount = 0
    byteCount = 0
    elsewhereCount = 0
    recentSegment = 0
    recentOffset = 0
    rights = [.read, .write]
    if !buffers.isEmpty { buffers.removeAll(keepingCapacity: true) }
  }

  // MARK: Building

  /// Adds a stretch of guest memory; one that continues the last is joined with it.
  ///
  /// - Throws: ``DMAError`` when a byte of it is not granted with these rights; nothing is added then.
  public func append(
    _ address: DMAAddress, _ byteCount: Int, _ rights: DMARights
  ) throws(DMAError) {
    if generation != engine.generation { followGrants() }
    guard engine.gate.isOpen, !isInTransfer,
      let place = unsafe engine.resolve(address.rawValue, byteCount, rights)
    else { return try appendSlowly(address, byteCount, rights) }
    // Safety: the place is mapped for `byteCount` bytes while the generation is the engine's.
    try unsafe push(place, byteCount, address.rawValue, UInt32(truncatingIfNeeded: engine.recent))
    self.rights.formIntersection(rights)
  }

  /// Adds a part of a buffer, which the list keeps until it is emptied.
  public func append(_ buffer: IOBuffer, at offset: Int = 0, byteCount: Int) {
    precondition(
      offset >= 0 && byteCount >= 0 && byteCount <= buffer.byteCount
        && offset <= buffer.byteCount - byteCount && !isInTransfer,
      "a part of a buffer that does not exist")
    guard byteCount > 0 else { return }
    if generation != engine.generation { followGrants() }
    if buffers.last !== buffer { buffers.append(buffer) }
    // Safety: checked above, and the buffer is kept. Lists do not reach 2^63 bytes of buffers.
    try? unsafe push(buffer.start + offset, byteCount, UInt64(offset), Origin.buffer)
  }

  /// Adds a part of another list over the same engine.
  ///
  /// - Throws: ``DMAError`` with `notMapped` past the other list's end; nothing is added then.
  public func append(
    contentsOf other: DMAScatterList, at offset: Int = 0, byteCount: Int
  ) throws(DMAError) {
    precondition(other !== self && !isInTransfer, "a list cannot be added to itself, or in use")
    precondition(other.engine === engine, "lists of different engines do not mix")
    other.validate()
    if generation != engine.generation { followGrants() }
    try other.forEachPart(offset, byteCount) { (segment, within, step) throws(DMAError) in
      // Safety: an index of the other list, and a part of that segment.
      let origin = unsafe other.origins[segment]
      let address = origin.address &+ UInt64(within)
      if let base = unsafe other.vectors[segment].iov_base {
        try unsafe push(base + within, step, address, origin.grant)
      } else {
        try pushElsewhere(address, step)
      }
    }
    rights.formIntersection(other.rights)
    for buffer in other.buffers where buffers.last !== buffer { buffers.append(buffer) }
  }

  /// For what lies in several grants, is reached by messages or is not granted at all.
  @inline(never)
  private func appendSlowly(
    _ address: DMAAddress, _ byteCount: Int, _ rights: DMARights
  ) throws(DMAError) {
    precondition(!isInTransfer, "the list is in use by a transfer")
    guard byteCount > 0 else {
      if byteCount == 0 { return }
      throw DMAError(.notMapped, address, byteCount)
    }
    let pieces = try engine.pieces(address, byteCount, rights)
    let before = (segmentCount, self.byteCount)
    guard !before.1.addingReportingOverflow(byteCount).overflow else {
      throw DMAError(.notMapped, address, byteCount)
    }
    for piece in pieces {
      if let start = unsafe piece.mapping.start {
        // Safety: `pieces` answers with parts of its grants.
        try unsafe push(
          start + Int(piece.offset), piece.part.count, piece.address.rawValue,
          UInt32(piece.grant))
      } else {
        try pushElsewhere(piece.address.rawValue, piece.part.count)
      }
    }
    self.rights.formIntersection(rights)
  }

  /// Adds a stretch of memory of this process.
  @inline(__always)
  private func push(
    _ place: UnsafeMutableRawPointer, _ count: Int, _ address: UInt64, _ grant: UInt32
  ) throws(DMAError) {
    let (sum, overflow) = byteCount.addingReportingOverflow(count)
    guard !overflow else { throw DMAError(.notMapped, DMAAddress(address), count) }
    byteCount = sum
    let last = segmentCount - 1
    // Safety: the last of the initialised entries. Parts of one buffer, or of one grant, that touch
    // are one stretch; two buffers may touch as well, and are kept apart by their offsets.
    if last >= 0, unsafe origins[last].grant == grant,
      let base = unsafe vectors[last].iov_base,
      unsafe base + vectors[last].iov_len == place,
      unsafe origins[last].address &+ UInt64(vectors[last].iov_len) == address
    {
      unsafe vectors[last].iov_len += count
      return
    }
    if segmentCount == capacity { grow() }
    // Safety: below `capacity`.
    unsafe (vectors + segmentCount).initialize(to: iovec(iov_base: place, iov_len: count))
    unsafe (origins + segmentCount).initialize(to: Origin(address: address, grant: grant))
    segmentCount &+= 1
  }

  /// Adds a stretch that the engine has to reach.
  private func pushElsewhere(_ address: UInt64, _ count: Int) throws(DMAError) {
    let (sum, overflow) = byteCount.addingReportingOverflow(count)
    guard !overflow else { throw DMAError(.notMapped, DMAAddress(address), count) }
    byteCount = sum
    if segmentCount == capacity { grow() }
    // Safety: below `capacity`.
    unsafe (vectors + segmentCount).initialize(to: iovec(iov_base: nil, iov_len: count))
    unsafe (origins + segmentCount).initialize(
      to: Origin(address: address, grant: Origin.elsewhere))
    segmentCount += 1
    elsewhereCount += 1
  }

  @inline(never)
  private func grow() {
    let wanted = capacity * 2
    // Safety: `segmentCount` entries move from the old storage into the new, which is larger.
    let newVectors = UnsafeMutablePointer<iovec>.allocate(capacity: wanted)
    let newOrigins = UnsafeMutablePointer<Origin>.allocate(capacity: wanted)
    unsafe newVectors.moveInitialize(from: vectors, count: segmentCount)
    unsafe newOrigins.moveInitialize(from: origins, count: segmentCount)
    unsafe vectors.deallocate()
    unsafe origins.deallocate()
    unsafe vectors = unsafe newVectors
    unsafe origins = unsafe newOrigins
    capacity = wanted
  }

  // MARK: Changes of the grants

  /// Brings the addresses up to date, unless a transfer keeps them in place.
  @inline(__always)
  func validate() {
    if generation != engine.generation, !isInTransfer { followGrants() }
  }

  /// Whether the segments' grants are those of the engine's present snapshot.
  var isCurrent: Bool { generation == engine.generation }

  @inline(never)
  private func followGrants() {
    engine.refresh()
    generation = engine.generation
    elsewhereCount = 0
    for segment in 0..<segmentCount {
      // Safety: an initialised entry.
      guard unsafe origins[segment].grant != Origin.buffer else { continue }
      let count = unsafe vectors[segment].iov_len
      if let place = unsafe engine.resolve(origins[segment].address, count, rights) {
        unsafe vectors[segment].iov_base = unsafe place
        unsafe origins[segment].grant = UInt32(truncatingIfNeeded: engine.recent)
      } else {
        // The engine says what is wrong when the segment is used.
        unsafe vectors[segment].iov_base = nil
        unsafe origins[segment].grant = Origin.elsewhere
        elsewhereCount += 1
      }
    }
  }

  // MARK: Transfers

  /// Whether every byte is mapped in this process, so that I/O can go there directly.
  ///
  /// False as well where the bus does not let the device access memory, or the client took memory
  /// away: then the copying functions say why.
  public var isMapped: Bool {
    validate()
    guard elsewhereCount == 0 else { return false }
    if engine.gate.isOpen, engine.isIntact { return true }
    return isMappedForSure()
  }

  @inline(never)
  private func isMappedForSure() -> Bool {
    for segment in 0..<segmentCount {
      // Safety: an initialised entry.
      let grant = unsafe origins[segment].grant
      if grant != Origin.buffer, !engine.gate.isOpen || engine.hasLost(Int(grant)) { return false }
    }
    return true
  }

  /// Keeps the memory in place until ``endTransfer()``: an unmap or a reset waits for it.
  ///
  /// Ask ``isMapped`` before. Nothing can be added meanwhile.
  public func beginTransfer() {
    precondition(!isInTransfer, "one transfer at a time")
    validate()
    isInTransfer = true
    var last = Origin.buffer
    for segment in 0..<segmentCount {
      // Safety: an initialised entry.
      let grant = unsafe origins[segment].grant
      guard grant != last, grant < Origin.elsewhere else { continue }
      last = grant
      let mapping = engine.snapshot.mappings[Int(grant)]
      if leased.contains(where: { $0 === mapping }) { continue }
      mapping.leases.retain()
      leased.append(mapping)
    }
    if !leased.isEmpty { engine.ledger.retain() }
  }

  /// The I/O has ended. Does nothing when there is none.
  public func endTransfer() {
    guard isInTransfer else { return }
    isInTransfer = false
    guard !leased.isEmpty else { return }
    for mapping in leased { mapping.leases.release() }
    leased.removeAll(keepingCapacity: true)
    engine.ledger.release()
  }

  /// Lends the stretches as iovecs, for system calls and rings; only where ``isMapped`` says so.
  ///
  /// The array is valid during the call and, for the kernel's sake, until the list changes or this is
  /// called again; the memory until ``endTransfer()``.
  /// - Parameter offset: where to start, in bytes into the list: how a transfer that stopped short
  ///   goes on.
  @unsafe
  public func withVectors<Result, Failure: Error>(
    from offset: Int = 0,
    _ body: (UnsafeBufferPointer<iovec>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    validate()
    precondition(elsewhereCount == 0, "a list that is not mapped as a whole has no vectors")
    guard offset != 0 else {
      // Safety: `segmentCount` initialised entries.
      return try unsafe body(UnsafeBufferPointer(start: vectors, count: segmentCount))
    }
    guard let (first, start) = locate(offset) else {
      return try unsafe body(UnsafeBufferPointer(start: nil, count: 0))
    }
    let count = segmentCount - first
    if partialCapacity < count {
      unsafe partialVectors?.deallocate()
      partialCapacity = capacity
      unsafe partialVectors = .allocate(capacity: partialCapacity)
    }
    guard let partial = unsafe partialVectors else { preconditionFailure("allocated above") }
    // Safety: `count` entries fit; `offset` lies in the first of them.
    unsafe partial.initialize(from: vectors + first, count: count)
    unsafe partial[0].iov_base? += offset - start
    unsafe partial[0].iov_len -= offset - start
    return try unsafe body(UnsafeBufferPointer(start: partial, count: count))
  }

  // MARK: Finding bytes

  /// The segment that holds the byte at `offset`, and its first byte's offset; nil past the end.
  @inline(__always)
  func locate(_ offset: Int) -> (segment: Int, start: Int)? {
    guard offset >= 0, offset < byteCount else { return nil }
    var segment = 0
    var start = 0
    // Adding joins with the last segment at most, so what was found stays right until emptied.
    if offset >= recentOffset {
      segment = recentSegment
      start = recentOffset
    }
    // Safety: `offset` is less than the sum of all lengths, so this ends within the list.
    while unsafe offset - start >= vectors[segment].iov_len {
      start += unsafe vectors[segment].iov_len
      segment += 1
    }
    recentSegment = segment
    recentOffset = start
    return (segment, start)
  }

  /// Goes through a part of the list: segment by segment, with the offset into it and the length.
  ///
  /// - Throws: `notMapped` past the list's end, before the first.
  @inline(__always)
  func forEachPart(
    _ offset: Int, _ count: Int,
    _ body: (_ segment: Int, _ within: Int, _ step: Int) throws(DMAError) -> Void
  ) throws(DMAError) {
    guard count != 0 else { return }
    guard offset >= 0, count > 0, count <= byteCount, offset <= byteCount - count,
      let place = locate(offset)
    else { throw DMAError(.notMapped, firstAddress, count) }
    var segment = place.segment
    var within = offset - place.start
    var left = count
    while true {
      // Safety: the part ends within the list, so the segment is one of it.
      let step = unsafe min(left, vectors[segment].iov_len - within)
      try body(segment, within, step)
      left -= step
      if left == 0 { return }
      segment += 1
      within = 0
    }
  }

  /// What errors about the list as a whole name.
  var firstAddress: DMAAddress {
    // Safety: an initialised entry.
    DMAAddress(segmentCount > 0 ? unsafe origins[0].address : 0)
  }
}
