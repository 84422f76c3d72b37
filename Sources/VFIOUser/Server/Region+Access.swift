extension Region {
  /// Reads `bytes.byteCount` bytes at `offset`, on the calling thread.
  ///
  /// The caller's thread must be the loop of every range that the access touches.
  ///
  /// - Throws: `EINVAL` past the region's end, or what the handler throws.
  public func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan,
    _ access: AccessContext = .immediate
  ) throws(Errno) {
    let count = bytes.byteCount
    try check(offset, count)
    var place = offset.rawValue
    var done = 0
    while done < count {
      let (range, step) = piece(at: place, remaining: count - done)
      if let range {
        var part = bytes._mutatingExtracting(done..<(done + step))
        try range.handler.read(
          at: RegionOffset(place - range.offset.rawValue), into: &part,
          step == count ? access : access.undeferrable)
      }
      place += UInt64(step)
      done += step
    }
  }

  /// Writes `bytes` at `offset`, on the calling thread; see and throws as `read(at:into:_:)`.
  ///
  /// Where a handler throws, the ranges before its own have been written.
  public func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext = .immediate
  ) throws(Errno) {
    let count = bytes.byteCount
    try check(offset, count)
    var place = offset.rawValue
    var done = 0
    while done < count {
      let (range, step) = piece(at: place, remaining: count - done)
      if let range {
        try range.handler.write(
          at: RegionOffset(place - range.offset.rawValue),
          from: bytes.extracting(done..<(done + step)),
          step == count ? access : access.undeferrable)
      }
      place += UInt64(step)
      done += step
    }
  }

  private func check(_ offset: RegionOffset, _ count: Int) throws(Errno) {
    let (end, overflow) = offset.rawValue.addingReportingOverflow(UInt64(count))
    guard !overflow, end <= byteCount else { throw .invalidArgument }
  }

  /// The longest piece at `place` that one range answers, or that none does.
  private func piece(at place: UInt64, remaining: Int) -> (range: RegionRange?, byteCount: Int) {
    if let range = range(containing: place) {
      let room = range.byteCount - (place - range.offset.rawValue)
      return (range, Int(min(UInt64(remaining), room)))
    }
    guard let next = ranges.first(where: { $0.offset.rawValue > place }) else {
      return (nil, remaining)
    }
    return (nil, Int(min(UInt64(remaining), next.offset.rawValue - place)))
  }
}
