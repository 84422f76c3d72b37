// The data path: region accesses.

extension Session {
  /// Where the data of a read reply starts.
  private static let dataOffset = MessageHeader.byteCount + RegionAccess.fixedByteCount

  func regionRead(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    let access: RegionAccess
    do throws(WireError) {
      access = try RegionAccess.readRequest(payload, limit: host.transferLimit)
    } catch { throw Refusal(error) }
    let region = try host.region(for: access, .read)
    let count = Int(access.count)
    let total = Self.dataOffset + count
    current = AccessInProgress(header: header, access: access, isRead: true, isRunning: true)
    if region.needsOtherLoop {
      if try handOver(region, header, access, nil) { return }
    }
    var failure: Errno?
    channel.build(total) { bytes in
      try? bytes.zero(at: Self.dataOffset, byteCount: count)
      var data = bytes._mutatingExtracting(Self.dataOffset..<total)
      do throws(Errno) {
        try region.region.read(
          at: access.offset, into: &data, AccessContext(deferral: self, isPosted: false))
      } catch { failure = error }
      // Last, because a handler that exchanges messages may have sent short replies from here. The
      // buffer holds the header, the fixed part and the data, so encoding cannot fail.
      try? MessageHeader.reply(to: header, payloadByteCount: total - MessageHeader.byteCount)
        .encode(into: &bytes)
      try? access.encode(into: &bytes, at: MessageHeader.byteCount)
    }
    guard !isDeferred(failure) else { return }
    if let failure { throw Refusal(failure) }
    guard header.wantsReply else { return }
    sendBuiltReply(total)
  }

  func regionWrite(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    let access: RegionAccess
    do throws(WireError) {
      access = try RegionAccess.writeRequest(payload, limit: host.transferLimit)
    } catch { throw Refusal(error) }
    let region = try host.region(for: access, .write)
    let data = payload.extracting(RegionAccess.fixedByteCount..<payload.byteCount)
    current = AccessInProgress(header: header, access: access, isRead: false, isRunning: true)
    if region.needsOtherLoop {
      if try handOver(region, header, access, [UInt8](copying: data)) { return }
    }
    let isPosted = !header.wantsReply
    var failure: Errno?
    do throws(Errno) {
      try region.region.write(
        at: access.offset, from: data,
        AccessContext(deferral: isPosted ? nil : self, isPosted: isPosted))
    } catch { failure = error }
    guard !isDeferred(failure) else { return }
    if let failure { throw Refusal(failure) }
    guard header.wantsReply else { return }
    sendAccessReply(header, access)
  }

  /// The reply to a write: the access without its data.
  func sendAccessReply(_ header: MessageHeader, _ access: RegionAccess) {
    channel.build(Self.dataOffset) { bytes in
      try? MessageHeader.reply(to: header, payloadByteCount: RegionAccess.fixedByteCount)
        .encode(into: &bytes)
      try? access.encode(into: &bytes, at: MessageHeader.byteCount)
    }
    sendBuiltReply(Self.dataOffset)
  }

  // MARK: Several writes in one message

  func regionWriteMulti(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    guard capabilities.supportsWriteMultiple == true else {
      throw Refusal(.notSupported, "REGION_WRITE_MULTI was not agreed on")
    }
    let count = try decoding { () throws(WireError) in
      try RegionWriteMulti.entryCount(in: payload)
    }
    // Everything is checked before the first write happens.
    var entries: [RegionWriteMulti.Entry] = []
    entries.reserveCapacity(count)
    for index in 0..<count {
      let entry = try decoding { () throws(WireError) in
        try RegionWriteMulti.entry(at: index, in: payload)
      }
      let access = RegionAccess(entry)
      _ = try foreignRange(of: try host.region(for: access, .write), access)
      entries.append(entry)
    }
    writeEntries(header, entries, from: 0)
  }

  /// Carries out the writes from `start` on; goes on later where one belongs to another loop.
  private func writeEntries(
    _ header: MessageHeader, _ entries: [RegionWriteMulti.Entry], from start: Int
  ) {
    for index in start..<entries.count {
      let entry = entries[index]
      let access = RegionAccess(entry)
      guard let target = try? host.region(for: access, .write) else { continue }
      let data = withUnsafeBytesFree(entry.data, count: Int(entry.count))
      if let range = try? foreignRange(of: target, access) {
        return onOtherLoop(range, access, data) { [weak self] error in
          // A client that has gone meanwhile takes the rest of its writes with it.
          guard let self, self.end == nil else { return }
          if let error { return self.refuse(header, error) }
          self.writeEntries(header, entries, from: index + 1)
        }
      }
      do throws(Errno) {
        try target.region.write(
          at: access.offset, from: data.rawSpan, AccessContext(deferral: nil, isPosted: true))
      } catch {
        return refuse(header, error)
      }
    }
    guard header.wantsReply else { return }
    let total = MessageHeader.byteCount + RegionWriteMulti.fixedByteCount
    channel.build(total) { bytes in
      try? MessageHeader.reply(to: header, payloadByteCount: RegionWriteMulti.fixedByteCount)
        .encode(into: &bytes)
      try? bytes.store(UInt64(entries.count), at: MessageHeader.byteCount)
    }
    sendBuiltReply(total)
  }

  private func withUnsafeBytesFree(_ value: UInt64, count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
  }

  // MARK: Ranges of other loops

  /// The range of another loop that answers the access, or nil where all of it is ours.
  ///
  /// - Throws: `EINVAL` for an access that spans ranges of different loops: a handler runs on its own
  ///   loop alone.
  @inline(__always)
  private func foreignRange(
    of target: HostedRegion, _ access: RegionAccess
  ) throws(Refusal) -> RegionRange? {
    guard target.needsOtherLoop else { return nil }
    if let range = target.region.foreignRange(access, home: host.loop) { return range }
    guard !target.region.touchesForeignRange(access, home: host.loop) else {
      throw Refusal(.invalidArgument, "an access across the ranges of several loops")
    }
    return nil
  }

  /// Has the access answered on the loop of its range. Returns false when its range is ours.
  ///
  /// - Throws: `EINVAL` for an access that spans ranges of different loops.
  private func handOver(
    _ target: HostedRegion, _ header: MessageHeader, _ access: RegionAccess, _ data: [UInt8]?
  ) throws(Refusal) -> Bool {
    guard let range = try foreignRange(of: target, access) else { return false }
    current.isConcurrent = range.isConcurrent
    current.isPosted = !header.wantsReply
    guard let reply = beginDeferral() else { throw Refusal(.ioError) }
    range.perform(access, data, reply)
    current = AccessInProgress()
    return true
  }

  /// Runs a write of several on its range's loop and comes back; commands wait meanwhile.
  private func onOtherLoop(
    _ range: RegionRange, _ access: RegionAccess, _ data: [UInt8],
    _ completion: @escaping (Errno?) -> Void
  ) {
    addHold()
    let loop = host.loop
    let back = LoopConfined { [weak self] (error: Errno?) in
      completion(error)
      self?.releaseHold()
    }
    let reply = DeferredReply { outcome in
      loop.post {
        switch outcome {
        case .done: back.value(nil)
        case .failed(let error): back.value(error)
        }
      }
    }
    range.perform(access, data, reply)
  }
}

extension RegionAccess {
  fileprivate init(_ entry: RegionWriteMulti.Entry) {
    self.init(offset: entry.offset, region: entry.region, count: entry.count)
  }
}
