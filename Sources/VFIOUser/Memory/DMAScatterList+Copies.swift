import CVFIOUserLinux

// Copies between a list and something else. A part of the list that is mapped is copied directly,
// the rest through the engine, which may wait for the client.

extension DMAScatterList {
  /// Copies bytes of the list out, from `offset` bytes into it.
  ///
  /// - Throws: ``DMAError``; `notMapped` past the end, `notPermitted` where the list was not made
  ///   for reading.
  public func read(at offset: Int, into bytes: inout MutableRawSpan) throws(DMAError) {
    let count = bytes.byteCount
    try prepare(.read, count)
    var done = 0
    try forEachPart(offset, count) { (segment, within, step) throws(DMAError) in
      if let source = unsafe place(segment, within) {
        try checkGate(segment, step)
        // Safety: `step` bytes from `source`, and from `done` on in the span.
        unsafe bytes.withUnsafeMutableBytes { target in
          guard let base = target.baseAddress else { return }
          unsafe (base + done).copyMemory(from: source, byteCount: step)
        }
      } else {
        var part = bytes._mutatingExtracting(done..<(done + step))
        try engine.read(at: address(segment, within), into: &part)
      }
      done += step
    }
    if !engine.isIntact { try checkLoss(offset, count) }
  }

  /// Copies `bytes` to the list, from `offset` bytes into it.
  ///
  /// - Throws: ``DMAError``; `notMapped` past the end, `notPermitted` where the list was not made
  ///   for writing.
  public func write(at offset: Int, from bytes: RawSpan) throws(DMAError) {
    let count = bytes.byteCount
    try prepare(.write, count)
    var done = 0
    try forEachPart(offset, count) { (segment, within, step) throws(DMAError) in
      if let target = unsafe place(segment, within) {
        try checkGate(segment, step)
        // Safety: `step` bytes to `target`, and from `done` on in the span.
        unsafe bytes.withUnsafeBytes { source in
          guard let base = source.baseAddress else { return }
          unsafe target.copyMemory(from: base + done, byteCount: step)
        }
      } else {
        try engine.write(
          at: address(segment, within), from: bytes.extracting(done..<(done + step)))
      }
      done += step
    }
    if !engine.isIntact { try checkLoss(offset, count) }
  }

  /// Sets bytes of the list to one value.
  ///
  /// - Throws: as ``write(at:from:)``.
  public func fill(at offset: Int, byteCount: Int, _ byte: UInt8 = 0) throws(DMAError) {
    try prepare(.write, byteCount)
    try forEachPart(offset, byteCount) { (segment, within, step) throws(DMAError) in
      if let target = unsafe place(segment, within) {
        try checkGate(segment, step)
        // Safety: `step` bytes to `target`.
        unsafe memset(target, CInt(byte), step)
      } else {
        let chunk = [UInt8](repeating: byte, count: min(step, Self.chunkByteCount))
        var done = 0
        while done < step {
          let part = min(chunk.count, step - done)
          try engine.write(
            at: address(segment, within + done), from: chunk.rawSpan.extracting(first: part))
          done += part
        }
      }
    }
    if !engine.isIntact { try checkLoss(offset, byteCount) }
  }

  /// Sets all of the list to one value.
  ///
  /// - Throws: as ``write(at:from:)``.
  public func fill(_ byte: UInt8 = 0) throws(DMAError) {
    try fill(at: 0, byteCount: byteCount, byte)
  }

  // MARK: Between lists

  /// Copies bytes of this list to another, which may be over the same memory.
  ///
  /// - Parameters:
  ///   - other: where the bytes go.
  ///   - offset: where they start in this list.
  ///   - otherOffset: where they go in the other.
  ///   - byteCount: how many; by default as many as both have from there on.
  /// - Throws: ``DMAError`` of either list.
  public func copy(
    to other: DMAScatterList, from offset: Int = 0, at otherOffset: Int = 0,
    byteCount: Int? = nil
  ) throws(DMAError) {
    let count =
      byteCount ?? max(0, min(self.byteCount - offset, other.byteCount - otherOffset))
    try prepare(.read, count)
    try other.prepare(.write, count)
    // Safety: what it hands out lies in the lists, for as many bytes as it says.
    try unsafe forEachPair(offset, other, otherOffset, count) {
      (source, target, step) throws(DMAError) in
      // Safety: `step` bytes of each; they may overlap.
      unsafe memmove(target, source, step)
      return true
    } bounce: { (place, otherPlace, step) throws(DMAError) in
      var bytes = [UInt8](repeating: 0, count: step)
      try bytes.withMutableRawSpan { (span) throws(DMAError) in
        try read(at: place, into: &span)
      }
      try other.write(at: otherPlace, from: bytes.rawSpan)
      return true
    }
    if !engine.isIntact { try checkLoss(offset, count) }
    if !other.engine.isIntact { try other.checkLoss(otherOffset, count) }
  }

  /// Copies bytes of another list to this one; throws as ``copy(to:from:at:byteCount:)``.
  public func copy(
    from other: DMAScatterList, at offset: Int = 0, from otherOffset: Int = 0,
    byteCount: Int? = nil
  ) throws(DMAError) {
    try other.copy(to: self, from: otherOffset, at: offset, byteCount: byteCount)
  }

  /// Whether bytes of this list and of another are the same.
  ///
  /// - Throws: ``DMAError`` of either list.
  public func matches(
    _ other: DMAScatterList, from offset: Int = 0, at otherOffset: Int = 0, byteCount: Int? = nil
  ) throws(DMAError) -> Bool {
    let count =
      byteCount ?? max(0, min(self.byteCount - offset, other.byteCount - otherOffset))
    try prepare(.read, count)
    try other.prepare(.read, count)
    var isSame = true
    // Safety: as for `copy`.
    try unsafe forEachPair(offset, other, otherOffset, count) {
      (left, right, step) throws(DMAError) in
      // Safety: `step` bytes of each.
      isSame = unsafe memcmp(left, right, step) == 0
      return isSame
    } bounce: { (place, otherPlace, step) throws(DMAError) in
      var left = [UInt8](repeating: 0, count: step)
      var right = left
      try left.withMutableRawSpan { (span) throws(DMAError) in try read(at: place, into: &span) }
      try right.withMutableRawSpan { (span) throws(DMAError) in
        try other.read(at: otherPlace, into: &span)
      }
      isSame = left == right
      return isSame
    }
    if !engine.isIntact { try checkLoss(offset, count) }
    if !other.engine.isIntact { try other.checkLoss(otherOffset, count) }
    return isSame
  }

  /// How much of unmapped memory is moved at a time.
  private static var chunkByteCount: Int { 65536 }

  /// Goes through equal parts of two lists until `direct` or `bounce` says that it is enough.
  ///
  /// - Parameters:
  ///   - direct: what to do where both are mapped.
  ///   - bounce: what to do where one is not; with offsets into the lists.
  @inline(__always)
  private func forEachPair(
    _ offset: Int, _ other: DMAScatterList, _ otherOffset: Int, _ count: Int,
    direct: (UnsafeMutableRawPointer, UnsafeMutableRawPointer, Int) throws(DMAError) -> Bool,
    bounce: (Int, Int, Int) throws(DMAError) -> Bool
  ) throws(DMAError) {
    guard count != 0 else { return }
    guard count > 0, offset >= 0, count <= byteCount, offset <= byteCount - count else {
      throw DMAError(.notMapped, firstAddress, count)
    }
    guard otherOffset >= 0, count <= other.byteCount, otherOffset <= other.byteCount - count
    else { throw DMAError(.notMapped, other.firstAddress, count) }
    var done = 0
    while done < count {
      // Both are found: the ranges were checked.
      guard let left = locate(offset + done), let right = other.locate(otherOffset + done) else {
        return
      }
      let leftPart = offset + done - left.start
      let rightPart = otherOffset + done - right.start
      // Safety: indexes of the lists.
      var step = unsafe min(
        count - done, vectors[left.segment].iov_len - leftPart,
        other.vectors[right.segment].iov_len - rightPart)
      let goesOn: Bool
      if let from = unsafe place(left.segment, leftPart),
        let to = unsafe other.place(right.segment, rightPart)
      {
        try checkGate(left.segment, step)
        try other.checkGate(right.segment, step)
        goesOn = try unsafe direct(from, to, step)
      } else {
        step = min(step, Self.chunkByteCount)
        goesOn = try bounce(offset + done, otherOffset + done, step)
      }
      guard goesOn else { return }
      done += step
    }
  }

  // MARK: Checks

  /// Brings the addresses up to date and checks what the list was made for.
  @inline(__always)
  private func prepare(_ right: DMARights, _ count: Int) throws(DMAError) {
    validate()
    guard rights.contains(right) else { throw DMAError(.notPermitted, firstAddress, count) }
  }

  /// Where a byte of a segment lies in this process, if it is mapped.
  @inline(__always)
  private func place(_ segment: Int, _ within: Int) -> UnsafeMutableRawPointer? {
    // Safety: an index of the list, and a byte of that segment.
    guard let base = unsafe vectors[segment].iov_base else { return nil }
    return unsafe base + within
  }

  private func address(_ segment: Int, _ within: Int) -> DMAAddress {
    // Safety: an index of the list.
    DMAAddress(unsafe origins[segment].address &+ UInt64(within))
  }

  @inline(__always)
  private func checkGate(_ segment: Int, _ count: Int) throws(DMAError) {
    // Safety: an index of the list.
    if !engine.gate.isOpen, unsafe origins[segment].grant != Origin.buffer {
      throw DMAError(.disabled, address(segment, 0), count)
    }
  }

  /// Throws when the client took memory of a part of the list away.
  @inline(never)
  private func checkLoss(_ offset: Int, _ count: Int) throws(DMAError) {
    guard isCurrent else {
      // A transfer keeps grants that the engine has let go of.
      if hasLostLease { throw DMAError(.lost, firstAddress, count) }
      return
    }
    try forEachPart(offset, count) { (segment, within, step) throws(DMAError) in
      // Safety: an index of the list.
      let grant = unsafe origins[segment].grant
      if grant < Origin.elsewhere, engine.hasLost(Int(grant)) {
        throw DMAError(.lost, address(segment, within), step)
      }
    }
  }
}
