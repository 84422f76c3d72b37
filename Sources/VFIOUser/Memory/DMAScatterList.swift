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
  // Properties that are not public cost no check of exclusive access: the compiler sees all uses.

  private(set) var segments = 0
  private(set) var bytes = 0
  var isBusy = false
  /// `segments` stretches; without an address where `Origin.elsewhere` says so.
  private(set) var vectors: UnsafeMutablePointer<iovec>
  private(set) var origins: UnsafeMutablePointer<Origin>
  private(set) var capacity = 4
  /// The engine's generation that the addresses belong to.
  private var generation: UInt64 = 0
  /// How many segments the engine has to reach.
  private(set) var elsewhereCount = 0
  /// What the device may do with all of the list.
  private(set) var rights: DMARights = [.read, .write]
  /// Keeps the buffers of the list.
  private var buffers: [IOBuffer] = []
  private var hasBuffers = false
  /// The grants that a transfer in progress keeps in place: the first, as a rule the only one.
  var leased: DMAMapping?
  /// The further ones.
  var moreLeased: [DMAMapping] = []
  var hasMoreLeased = false
  /// Vectors of a part of the list, for whoever asked last.
  var partialVectors: UnsafeMutablePointer<iovec>?
  var partialCapacity = 0
  /// Where the last search for an offset ended: a segment and its first byte's offset in the list.
  var recentSegment = 0
  var recentOffset = 0

  /// How many stretches of memory it has.
  public var segmentCount: Int { segments }
  /// How many bytes the list covers.
  public var byteCount: Int { bytes }
  /// Whether a transfer is in progress.
  public var isInTransfer: Bool { isBusy }

  /// An empty list over the memory that `engine` reaches.
  public init(_ engine: DMAEngine) {
    self.engine = engine
    // Safety: owned storage of trivial types; `segments` entries of each are initialised.
    unsafe vectors = .allocate(capacity: capacity)
    unsafe origins = .allocate(capacity: capacity)
  }

  deinit {
    if isBusy { endTransfer() }
    // Safety: this object's own storage; nobody borrows it any longer than a call.
    unsafe vectors.deallocate()
    unsafe origins.deallocate()
    unsafe partialVectors?.deallocate()
  }

  /// Empties the list; its storage is kept. Not while a transfer is in progress.
  public func removeAll() {
    precondition(!isBusy, "the list is in use by a transfer")
    segments = 0
    bytes = 0
    elsewhereCount = 0
    recentSegment = 0
    recentOffset = 0
    rights = [.read, .write]
    if hasBuffers { forgetBuffers() }
  }

  @inline(never)
  private func forgetBuffers() {
    hasBuffers = false
    buffers.removeAll(keepingCapacity: true)
  }

  @inline(never)
  private func keep(_ buffer: IOBuffer) {
    hasBuffers = true
    if buffers.last !== buffer { buffers.append(buffer) }
  }

  // MARK: Building

  /// Adds a stretch of guest memory; one that continues the last is joined with it.
  ///
  /// - Throws: ``DMAError`` when a byte of it is not granted with these rights; nothing is added then.
  public func append(
    _ address: DMAAddress, _ byteCount: Int, _ rights: DMARights
  ) throws(DMAError) {
    if generation != engine.generation { followGrants() }
    guard engine.gate.isOpen, !isBusy,
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
        && offset <= buffer.byteCount - byteCount && !isBusy,
      "a part of a buffer that does not exist")
    guard byteCount > 0 else { return }
    if generation != engine.generation { followGrants() }
    keep(buffer)
    // Safety: checked above, and the buffer is kept. Lists do not reach 2^63 bytes of buffers.
    try? unsafe push(buffer.start + offset, byteCount, UInt64(offset), Origin.buffer)
  }

  /// Adds a part of another list over the same engine.
  ///
  /// - Throws: ``DMAError`` with `notMapped` past the other list's end; nothing is added then.
  public func append(
    contentsOf other: DMAScatterList, at offset: Int = 0, byteCount: Int
  ) throws(DMAError) {
    precondition(other !== self && !isBusy, "a list cannot be added to itself, or in use")
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
    if other.hasBuffers { for buffer in other.buffers { keep(buffer) } }
  }

  /// For what lies in several grants, is reached by messages or is not granted at all.
  @inline(never)
  private func appendSlowly(
    _ address: DMAAddress, _ byteCount: Int, _ rights: DMARights
  ) throws(DMAError) {
    precondition(!isBusy, "the list is in use by a transfer")
    guard byteCount > 0 else {
      if byteCount == 0 { return }
      throw DMAError(.notMapped, address, byteCount)
    }
    let pieces = try engine.pieces(address, byteCount, rights)
    guard !bytes.addingReportingOverflow(byteCount).overflow else {
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
    let (sum, overflow) = bytes.addingReportingOverflow(count)
    guard !overflow else { throw DMAError(.notMapped, DMAAddress(address), count) }
    bytes = sum
    let last = segments - 1
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
    if segments == capacity { grow() }
    // Safety: below `capacity`.
    unsafe (vectors + segments).initialize(to: iovec(iov_base: place, iov_len: count))
    unsafe (origins + segments).initialize(to: Origin(address: address, grant: grant))
    segments &+= 1
  }

  /// Adds a stretch that the engine has to reach.
  private func pushElsewhere(_ address: UInt64, _ count: Int) throws(DMAError) {
    let (sum, overflow) = bytes.addingReportingOverflow(count)
    guard !overflow else { throw DMAError(.notMapped, DMAAddress(address), count) }
    bytes = sum
    if segments == capacity { grow() }
    // Safety: below `capacity`.
    unsafe (vectors + segments).initialize(to: iovec(iov_base: nil, iov_len: count))
    unsafe (origins + segments).initialize(
      to: Origin(address: address, grant: Origin.elsewhere))
    segments += 1
    elsewhereCount += 1
  }

  @inline(never)
  private func grow() {
    let wanted = capacity * 2
    // Safety: `segments` entries move from the old storage into the new, which is larger.
    let newVectors = UnsafeMutablePointer<iovec>.allocate(capacity: wanted)
    let newOrigins = UnsafeMutablePointer<Origin>.allocate(capacity: wanted)
    unsafe newVectors.moveInitialize(from: vectors, count: segments)
    unsafe newOrigins.moveInitialize(from: origins, count: segments)
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
    if generation != engine.generation, !isBusy { followGrants() }
  }

  /// Whether the segments' grants are those of the engine's present snapshot.
  var isCurrent: Bool { generation == engine.generation }

  @inline(never)
  private func followGrants() {
    engine.refresh()
    generation = engine.generation
    elsewhereCount = 0
    for segment in 0..<segments {
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
}
