import CVFIOUserLinux

// I/O that goes to the list's memory directly, by the kernel or another thread.

extension DMAScatterList {
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
    for segment in 0..<segments {
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
    precondition(!isBusy, "one transfer at a time")
    validate()
    isBusy = true
    var last = Origin.buffer
    for segment in 0..<segments {
      // Safety: an initialised entry.
      let grant = unsafe origins[segment].grant
      guard grant != last, grant < Origin.elsewhere else { continue }
      last = grant
      let mapping = engine.snapshot.mappings[Int(grant)]
      if leased == nil {
        leased = mapping
        engine.ledger.retain()
      } else {
        if leased === mapping || moreLeased.contains(where: { $0 === mapping }) { continue }
        moreLeased.append(mapping)
        hasMoreLeased = true
      }
      mapping.leases.retain()
    }
  }

  /// The I/O has ended. Does nothing when there is none.
  public func endTransfer() {
    guard isBusy else { return }
    isBusy = false
    guard let mapping = leased else { return }
    leased = nil
    mapping.leases.release()
    if hasMoreLeased {
      hasMoreLeased = false
      for mapping in moreLeased { mapping.leases.release() }
      moreLeased.removeAll(keepingCapacity: true)
    }
    engine.ledger.release()
  }

  /// Whether the client took memory of the transfer in progress away.
  var hasLostLease: Bool {
    leased?.isLost ?? false || moreLeased.contains(where: \.isLost)
  }

  /// Lends the stretches as iovecs, for system calls and rings; only where ``isMapped`` says so.
  ///
  /// The array is valid during the call and, for the kernel's sake, until the list changes or this
  /// is called again; the memory until ``endTransfer()``.
  /// - Parameter offset: where to start, in bytes into the list: how a transfer that stopped short
  ///   goes on.
  /// - Throws: what `body` throws, nothing else.
  @unsafe
  public func withVectors<Result, Failure: Error>(
    from offset: Int = 0,
    _ body: (UnsafeBufferPointer<iovec>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    validate()
    precondition(elsewhereCount == 0, "a list that is not mapped as a whole has no vectors")
    guard offset != 0 else {
      // Safety: `segments` initialised entries.
      return try unsafe body(UnsafeBufferPointer(start: vectors, count: segments))
    }
    guard let (first, start) = locate(offset) else {
      return try unsafe body(UnsafeBufferPointer(start: nil, count: 0))
    }
    let count = segments - first
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
}
