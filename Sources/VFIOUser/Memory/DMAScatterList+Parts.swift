import CVFIOUserLinux

// Finding the bytes of a part of the list.

extension DMAScatterList {
  /// The segment that holds the byte at `offset`, and its first byte's offset; nil past the end.
  @inline(__always)
  func locate(_ offset: Int) -> (segment: Int, start: Int)? {
    guard offset >= 0, offset < bytes else { return nil }
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
    guard offset >= 0, count > 0, count <= bytes, offset <= bytes - count,
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
    DMAAddress(segments > 0 ? unsafe origins[0].address : 0)
  }
}
