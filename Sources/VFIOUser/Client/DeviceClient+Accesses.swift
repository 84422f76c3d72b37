// Region accesses by message. `ClientRegion` has the forms that choose between these and mappings.
extension DeviceClient {
  /// Reads 1 to 8 bytes by one message; returns them as a little-endian number.
  ///
  /// - Parameter timeout: the longest wait, here and below; nil for the client's usual one.
  @inline(__always)
  func readWord(
    _ region: UInt32, _ offset: RegionOffset, byteCount: Int, timeout: Duration? = nil
  ) throws(ClientError) -> UInt64 {
    let access = RegionAccess(offset: offset, region: region, count: UInt32(byteCount))
    let (word, count) = try call(
      .regionRead, payloadByteCount: RegionAccess.fixedByteCount, timeout: timeout,
      encode: { (bytes: inout MutableRawSpan) throws(WireError) in
        try access.encode(into: &bytes, at: MessageHeader.byteCount)
      },
      decode: { payload, _ throws(WireError) in
        let data = try access.readReply(payload)
        return (try data.loadWord(), data.byteCount)
      })
    guard count == byteCount else { throw Self.shortRead }
    return word
  }

  /// Writes 1 to 8 bytes by one message.
  @inline(__always)
  func writeWord(
    _ region: UInt32, _ offset: RegionOffset, _ word: UInt64, byteCount: Int,
    timeout: Duration? = nil
  ) throws(ClientError) {
    let access = RegionAccess(offset: offset, region: region, count: UInt32(byteCount))
    let count = try call(
      .regionWrite, payloadByteCount: RegionAccess.fixedByteCount + byteCount, timeout: timeout,
      encode: { (bytes: inout MutableRawSpan) throws(WireError) in
        try access.encode(into: &bytes, at: MessageHeader.byteCount)
        try bytes.storeWord(word, byteCount, at: Self.dataOffset)
      }, decode: { payload, _ throws(WireError) in try access.writeReply(payload) })
    guard count == byteCount else { throw Self.shortWrite }
  }

  /// Writes 1 to 8 bytes without waiting for a reply.
  @inline(__always)
  func postWord(
    _ region: UInt32, _ offset: RegionOffset, _ word: UInt64, byteCount: Int
  ) throws(ClientError) {
    let access = RegionAccess(offset: offset, region: region, count: UInt32(byteCount))
    try post(
      .regionWrite, payloadByteCount: RegionAccess.fixedByteCount + byteCount,
      encode: { (bytes: inout MutableRawSpan) throws(WireError) in
        try access.encode(into: &bytes, at: MessageHeader.byteCount)
        try bytes.storeWord(word, byteCount, at: Self.dataOffset)
      })
  }

  /// Reads a range, in as many messages as the transfer limit asks for.
  func readBytes(
    _ region: UInt32, _ offset: RegionOffset, into target: inout MutableRawSpan,
    timeout: Duration? = nil
  ) throws(ClientError) {
    var done = 0
    while done < target.byteCount {
      let access = try part(region, offset, done, of: target.byteCount)
      let position = done
      let count: Int
      do throws(ClientError) {
        count = try call(
          .regionRead, payloadByteCount: RegionAccess.fixedByteCount, timeout: timeout,
          encode: { (bytes: inout MutableRawSpan) throws(WireError) in
            try access.encode(into: &bytes, at: MessageHeader.byteCount)
          },
          decode: { payload, _ throws(WireError) in
            let data = try access.readReply(payload)
            try target.store(bytes: data, at: position)
            return data.byteCount
          })
      } catch { throw error.after(done) }
      guard count == Int(access.count) else { throw Self.shortRead }
      done += count
    }
  }

  /// Writes a range, in as many messages as the transfer limit asks for.
  func writeBytes(
    _ region: UInt32, _ offset: RegionOffset, from source: RawSpan, isPosted: Bool,
    timeout: Duration? = nil
  ) throws(ClientError) {
    var done = 0
    while done < source.byteCount {
      let access = try part(region, offset, done, of: source.byteCount)
      let data = source.extracting(done..<(done + Int(access.count)))
      do throws(ClientError) {
        try writePart(access, data, isPosted: isPosted, timeout: timeout)
      } catch { throw error.after(done) }
      done += data.byteCount
    }
  }

  private func writePart(
    _ access: RegionAccess, _ data: RawSpan, isPosted: Bool, timeout: Duration?
  ) throws(ClientError) {
    let byteCount = RegionAccess.fixedByteCount + data.byteCount
    if isPosted {
      return try post(
        .regionWrite, payloadByteCount: byteCount,
        encode: { (bytes: inout MutableRawSpan) throws(WireError) in
          try access.encode(into: &bytes, at: MessageHeader.byteCount)
          try bytes.store(bytes: data, at: Self.dataOffset)
        })
    }
    let count = try call(
      .regionWrite, payloadByteCount: byteCount, timeout: timeout,
      encode: { (bytes: inout MutableRawSpan) throws(WireError) in
        try access.encode(into: &bytes, at: MessageHeader.byteCount)
        try bytes.store(bytes: data, at: Self.dataOffset)
      }, decode: { payload, _ throws(WireError) in try access.writeReply(payload) })
    guard count == data.byteCount else { throw Self.shortWrite }
  }

  private func part(
    _ region: UInt32, _ offset: RegionOffset, _ done: Int, of byteCount: Int
  ) throws(ClientError) -> RegionAccess {
    let limit = Int(clamping: capabilities.effectiveTransferByteCount)
    guard let start = offset.advanced(byByteCount: UInt64(done)) else {
      throw ClientError(.invalidArgument, .invalidArgument, "beyond the region")
    }
    return RegionAccess(
      offset: start, region: region, count: UInt32(min(limit, byteCount - done)))
  }

  // MARK: Pipelined

  /// Sends a read and does not wait.
  func startRead(
    _ region: UInt32, _ offset: RegionOffset, byteCount: Int
  ) throws(ClientError) -> PendingReply {
    let access = RegionAccess(offset: offset, region: region, count: try transferCount(byteCount))
    let deadline = MonotonicTime.now.advanced(by: options.timeout)
    let identity = try send(
      .regionRead, payloadByteCount: RegionAccess.fixedByteCount, deadline: deadline,
      encode: { (bytes: inout MutableRawSpan) throws(WireError) in
        try access.encode(into: &bytes, at: MessageHeader.byteCount)
      })
    return PendingReply(
      identity: identity, command: .regionRead, access: access, deadline: deadline)
  }

  /// Sends a write and does not wait.
  func startWrite(
    _ region: UInt32, _ offset: RegionOffset, from source: RawSpan
  ) throws(ClientError) -> PendingReply {
    let access = RegionAccess(
      offset: offset, region: region, count: try transferCount(source.byteCount))
    let deadline = MonotonicTime.now.advanced(by: options.timeout)
    let identity = try send(
      .regionWrite, payloadByteCount: RegionAccess.fixedByteCount + source.byteCount,
      deadline: deadline,
      encode: { (bytes: inout MutableRawSpan) throws(WireError) in
        try access.encode(into: &bytes, at: MessageHeader.byteCount)
        try bytes.store(bytes: source, at: Self.dataOffset)
      })
    return PendingReply(
      identity: identity, command: .regionWrite, access: access, deadline: deadline)
  }

  private func transferCount(_ byteCount: Int) throws(ClientError) -> UInt32 {
    guard byteCount >= 0, UInt64(byteCount) <= capabilities.effectiveTransferByteCount else {
      throw ClientError(.invalidArgument, .invalidArgument, "beyond the transfer limit")
    }
    return UInt32(byteCount)
  }

  /// Waits for the reply to a read that was started, and copies its data to the start of `target`.
  ///
  /// The wait ends with the client's timeout, counted from the start of the read.
  /// - Throws: `invalidArgument` when `pending` is no read, was finished before, or is longer than
  ///   `target`; `rejected`, `shortTransfer`, else as every call.
  public func finishRead(
    _ pending: PendingReply, into target: inout MutableRawSpan
  ) throws(ClientError) {
    guard pending.command == .regionRead, target.byteCount >= pending.byteCount else {
      throw ClientError(.invalidArgument, .invalidArgument, "this is no read, or has no room")
    }
    try checkPending(pending)
    let count = try finish(
      pending.identity, .regionRead, deadline: pending.deadline, mayBlockInReceive: true,
      decode: { payload, _ throws(WireError) in
        let data = try pending.access.readReply(payload)
        try target.store(bytes: data, at: 0)
        return data.byteCount
      })
    guard count == pending.byteCount else { throw Self.shortRead }
  }

  /// Waits for the reply to a read of at most 8 bytes that was started; returns a little-endian
  /// number.
  ///
  /// - Throws: as ``finishRead(_:into:)``; `invalidArgument` for a longer read.
  public func finishRead(_ pending: PendingReply) throws(ClientError) -> UInt64 {
    guard pending.command == .regionRead, pending.byteCount <= 8 else {
      throw ClientError(.invalidArgument, .invalidArgument, "this is no read, or is too long")
    }
    try checkPending(pending)
    let (word, count) = try finish(
      pending.identity, .regionRead, deadline: pending.deadline, mayBlockInReceive: true,
      decode: { payload, _ throws(WireError) in
        let data = try pending.access.readReply(payload)
        return (try data.loadWord(), data.byteCount)
      })
    guard count == pending.byteCount else { throw Self.shortRead }
    return word
  }

  /// Waits for the reply to a write that was started, at most the client's timeout from its start.
  ///
  /// - Throws: `invalidArgument` when `pending` is no write or was finished before; `rejected`,
  ///   `shortTransfer`, else as every call.
  public func finishWrite(_ pending: PendingReply) throws(ClientError) {
    guard pending.command == .regionWrite else {
      throw ClientError(.invalidArgument, .invalidArgument, "this is no write")
    }
    try checkPending(pending)
    let count = try finish(
      pending.identity, .regionWrite, deadline: pending.deadline, mayBlockInReceive: true,
      decode: { payload, _ throws(WireError) in try pending.access.writeReply(payload) })
    guard count == pending.byteCount else { throw Self.shortWrite }
  }

  private func checkPending(_ pending: PendingReply) throws(ClientError) {
    let isKnown = lock.withLock {
      switch replies.state(pending.identity) {
      case .waiting, .answered: replies.command(pending.identity) == pending.command
      default: false
      }
    }
    guard isKnown else {
      throw ClientError(.invalidArgument, .invalidArgument, "the reply was looked at before")
    }
  }

  // MARK: Several writes in one message

  /// Writes to regions several times with one message, in order.
  ///
  /// - Parameters:
  ///   - writes: at most as many as the transfer limit has room for.
  ///   - isPosted: whether not to wait for the reply.
  /// - Throws: `unsupported` when the server did not agree to it, `invalidArgument` for none, for
  ///   more, or for one longer than 8 bytes, `shortTransfer` when the server stopped before the
  ///   last one, else as every call. Posted ones are neither rejected nor short: nobody learns of
  ///   it.
  public func writeMultiple(
    _ writes: [RegionWriteMulti.Entry], isPosted: Bool = false
  ) throws(ClientError) {
    guard capabilities.supportsWriteMultiple == true else {
      throw ClientError(.unsupported, .notSupported, "the server takes no multiple writes")
    }
    let message = RegionWriteMulti(writes)
    guard !writes.isEmpty, writes.allSatisfy({ $0.count <= 8 }),
      UInt64(message.encodedByteCount) <= capabilities.effectiveTransferByteCount
    else {
      throw ClientError(.invalidArgument, .invalidArgument, "no such multiple write")
    }
    if isPosted {
      return try post(
        .regionWriteMulti, payloadByteCount: message.encodedByteCount,
        encode: { (bytes: inout MutableRawSpan) throws(WireError) in
          try message.encode(into: &bytes, at: MessageHeader.byteCount)
        })
    }
    let count = try call(.regionWriteMulti, message) { payload, _ throws(WireError) in
      let reply = try RegionWriteMultiReply(decoding: payload)
      guard reply.count <= UInt64(writes.count) else {
        throw WireError(.badCount, "more writes were done than sent")
      }
      return Int(reply.count)
    }
    guard count == writes.count else { throw Self.shortWrite }
  }

  private static var dataOffset: Int { MessageHeader.byteCount + RegionAccess.fixedByteCount }
  private static var shortRead: ClientError {
    ClientError(.shortTransfer, .ioError, "the server returned less than was asked for")
  }
  private static var shortWrite: ClientError {
    ClientError(.shortTransfer, .ioError, "the server wrote less than was sent")
  }
}

extension RawSpan {
  /// The span's bytes, at most 8, as a little-endian number.
  @inline(__always)
  func loadWord() throws(WireError) -> UInt64 {
    switch byteCount {
    case 8: return try load(at: 0)
    case 4: return UInt64(try load(at: 0, as: UInt32.self))
    case 2: return UInt64(try load(at: 0, as: UInt16.self))
    case 1: return UInt64(try load(at: 0, as: UInt8.self))
    default:
      var word: UInt64 = 0
      for index in 0..<min(8, byteCount) {
        word |= UInt64(try load(at: index, as: UInt8.self)) << UInt64(8 * index)
      }
      return word
    }
  }
}

extension MutableRawSpan {
  /// Writes the low `count` bytes of a number, at most 8, little-endian.
  @inline(__always)
  mutating func storeWord(_ word: UInt64, _ count: Int, at offset: Int) throws(WireError) {
    switch count {
    case 8: try store(word, at: offset)
    case 4: try store(UInt32(truncatingIfNeeded: word), at: offset)
    case 2: try store(UInt16(truncatingIfNeeded: word), at: offset)
    case 1: try store(UInt8(truncatingIfNeeded: word), at: offset)
    default:
      for index in 0..<min(8, count) {
        try store(UInt8(truncatingIfNeeded: word >> UInt64(8 * index)), at: offset + index)
      }
    }
  }
}
