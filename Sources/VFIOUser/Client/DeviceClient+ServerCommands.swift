// The server's commands: it reads and writes the memory that was granted to the device.
extension DeviceClient {
  /// How many bytes of replies are kept for a server that does not read them yet.
  private static var maximumQueuedByteCount: Int { 64 << 20 }

  /// Answers a command of the server. The receiving thread calls it.
  func serveCommand(_ header: MessageHeader, on channel: MessageChannel) throws(ClientError) {
    var sendError: Errno?
    var queued = 0
    var changedRegion: Int?
    channel.take(header) { payload in
      let descriptors = channel.takeDescriptors()
      lock.lock()
      do throws(Errno) {
        if !descriptors.isEmpty || !descriptors.areComplete {
          try reply(to: header, .invalidArgument, on: channel)
        } else {
          switch header.command {
          case .dmaRead: try serveRead(header, payload, on: channel)
          case .dmaWrite: try serveWrite(header, payload, on: channel)
          case .regionChanged where capabilities.offers(.regionChanged):
            changedRegion = try forgetRegion(header, payload, on: channel)
          default:
            // A client's own command in the wrong direction, or one that nobody knows.
            let errno: Errno = header.command.direction == nil ? .notSupported : .invalidArgument
            try reply(to: header, errno, on: channel)
          }
        }
      } catch {
        sendError = error
      }
      queued = channel.backlog.byteCount
      lock.unlock()
    }
    if let sendError {
      throw fail(ClientError(.disconnected, sendError, "cannot send to the server"))
    }
    // Out of the lock: it is the caller's code.
    if let changedRegion { options.onRegionChanged?(changedRegion) }
    guard queued > 0 else { return }
    hasQueuedReplies = true
    // A server that asks without reading the answers would make this side keep them all.
    guard queued <= Self.maximumQueuedByteCount else {
      throw fail(
        ClientError(.protocolViolation, .noBufferSpace, "the server does not read its replies"))
    }
  }

  /// Forgets what was learned about a region; returns which one, or nil when there is none.
  ///
  /// The caller holds the lock, as for everything below.
  private func forgetRegion(
    _ header: MessageHeader, _ payload: RawSpan, on channel: MessageChannel
  ) throws(Errno) -> Int? {
    let message: RegionChanged
    do { message = try RegionChanged(decoding: payload) } catch {
      try reply(to: header, error.errno, on: channel)
      return nil
    }
    guard message.index < deviceInfo.regionCount else {
      try reply(to: header, .invalidArgument, on: channel)
      return nil
    }
    regions[Int(message.index)] = nil
    regionChangeCount += 1
    if header.wantsReply {
      // The server needs none, but one that asks is answered.
      try replyEmpty(to: header, on: channel)
    }
    return Int(message.index)
  }

  private func serveRead(
    _ header: MessageHeader, _ payload: RawSpan, on channel: MessageChannel
  ) throws(Errno) {
    let access: DMAAccess
    do {
      access = try DMAAccess.readRequest(payload, limit: capabilities.effectiveTransferByteCount)
    } catch {
      return try reply(to: header, error.errno, on: channel)
    }
    do { try grants.check(access, .read) } catch {
      return try reply(to: header, error, on: channel)
    }
    guard header.wantsReply else { return }
    let payloadByteCount = DMAAccess.fixedByteCount + Int(access.count)
    let answer = MessageHeader.reply(to: header, payloadByteCount: payloadByteCount)
    do throws(Errno) {
      try channel.build(Int(answer.byteCount)) { (bytes: inout MutableRawSpan) throws(Errno) in
        do throws(WireError) {
          try answer.encode(into: &bytes)
          try access.encode(into: &bytes, at: MessageHeader.byteCount)
        } catch { throw error.errno }
        try grants.read(
          access, into: &bytes, at: MessageHeader.byteCount + DMAAccess.fixedByteCount)
      }
    } catch {
      return try reply(to: header, error, on: channel)
    }
    try channel.sendBuilt(Int(answer.byteCount))
  }

  private func serveWrite(
    _ header: MessageHeader, _ payload: RawSpan, on channel: MessageChannel
  ) throws(Errno) {
    let access: DMAAccess
    do {
      access = try DMAAccess.writeRequest(payload, limit: capabilities.effectiveTransferByteCount)
    } catch {
      return try reply(to: header, error.errno, on: channel)
    }
    do throws(Errno) {
      try grants.check(access, .write)
      try grants.write(
        access,
        from: payload.extracting(DMAAccess.fixedByteCount..<payload.byteCount))
    } catch {
      return try reply(to: header, error, on: channel)
    }
    guard header.wantsReply else { return }
    let answer = MessageHeader.reply(
      to: header, payloadByteCount: DMAAccess.writeReplyByteCount)
    try channel.build(Int(answer.byteCount)) { (bytes: inout MutableRawSpan) throws(Errno) in
      do throws(WireError) {
        try answer.encode(into: &bytes)
        try access.encodeWriteReply(into: &bytes, at: MessageHeader.byteCount)
      } catch { throw error.errno }
    }
    try channel.sendBuilt(Int(answer.byteCount))
  }

  private func reply(
    to header: MessageHeader, _ errno: Errno, on channel: MessageChannel
  ) throws(Errno) {
    guard header.wantsReply else { return }
    let answer = MessageHeader.errorReply(to: header, errno)
    try channel.build(MessageHeader.byteCount) { (bytes: inout MutableRawSpan) throws(Errno) in
      do throws(WireError) { try answer.encode(into: &bytes) } catch { throw error.errno }
    }
    try channel.sendBuilt(MessageHeader.byteCount)
  }

  private func replyEmpty(
    to header: MessageHeader, on channel: MessageChannel
  ) throws(Errno) {
    let answer = MessageHeader.reply(to: header)
    try channel.build(MessageHeader.byteCount) { (bytes: inout MutableRawSpan) throws(Errno) in
      do throws(WireError) { try answer.encode(into: &bytes) } catch { throw error.errno }
    }
    try channel.sendBuilt(MessageHeader.byteCount)
  }
}
