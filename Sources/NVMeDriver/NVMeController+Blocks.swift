import NVMe

// Blocks, one command after the other.

extension NVMeController {
  /// The pair for calls that wait.
  func pair() throws(NVMeDriverError) -> NVMeQueuePair {
    if let ownPair { return ownPair }
    let made = try makeQueuePair(entryCount: min(64, capabilities.maximumQueueEntryCount))
    ownPair = made
    return made
  }

  /// Reads blocks.
  ///
  /// - Parameters:
  ///   - block: the first one.
  ///   - count: how many; any number, at most 128 KiB are moved by a command.
  /// - Returns: `count` times ``NVMeNamespaceInfo/blockByteCount`` bytes.
  /// - Throws: `status` when the controller refuses or fails a command; `connection`, `timedOut` and
  ///   `fatal` when there is no answer. After a timeout ``reset()`` comes first.
  public func read(
    _ namespace: NVMeNamespaceInfo, block: UInt64, count: Int
  ) throws(NVMeDriverError) -> [UInt8] {
    var bytes: [UInt8] = []
    try forEachPiece(namespace, block, count, .read) { (_, buffer) throws(NVMeDriverError) in
    } after: { (_, buffer) throws(NVMeDriverError) in
      bytes += try buffer.read()
    }
    return bytes
  }

  /// Writes blocks; they are on the medium after ``flush(_:)``.
  ///
  /// - Parameters:
  ///   - block: the first one.
  ///   - bytes: a whole number of blocks.
  /// - Throws: as ``read(_:block:count:)``; some of the blocks may be written then.
  public func write(
    _ namespace: NVMeNamespaceInfo, block: UInt64, _ bytes: [UInt8]
  ) throws(NVMeDriverError) {
    let size = namespace.blockByteCount
    guard bytes.count % size == 0 else {
      throw NVMeDriverError(
        .invalidArgument, "\(bytes.count) bytes are no whole number of blocks of \(size)")
    }
    try forEachPiece(namespace, block, bytes.count / size, .write) {
      (offset, buffer) throws(NVMeDriverError) in
      try buffer.write(Array(bytes[offset..<(offset + buffer.byteCount)]))
    } after: { (_, _) throws(NVMeDriverError) in
    }
  }

  private func forEachPiece(
    _ namespace: NVMeNamespaceInfo, _ block: UInt64, _ count: Int, _ opcode: IOOpcode,
    _ before: (Int, NVMeBuffer) throws(NVMeDriverError) -> Void,
    after: (Int, NVMeBuffer) throws(NVMeDriverError) -> Void
  ) throws(NVMeDriverError) {
    guard count >= 0, count == 0 || block <= .max - UInt64(count - 1) else {
      throw NVMeDriverError(.invalidArgument, "there are no \(count) blocks from \(block) on")
    }
    let size = namespace.blockByteCount
    let shift = identity.maximumTransferShift
    let limit = min(shift == 0 || shift > 5 ? 131_072 : 4096 << Int(shift), 131_072)
    guard size <= limit else {
      throw NVMeDriverError(.unsupported, "the controller does not move a block at a time")
    }
    let pair = try pair()
    try withBuffer(min(limit, max(count, 1) * size), for: pair) {
      (buffer) throws(NVMeDriverError) in
      var done = 0
      while done < count {
        let step = min(count - done, limit / size)
        let part = try buffer.part(at: 0, byteCount: step * size)
        try before(done * size, part)
        var entry = namespace.command(opcode)
        entry.startingBlock = block + UInt64(done)
        entry.blockCount = step
        try succeed(entry, part, pair, "\(step) blocks from \(entry.startingBlock) on")
        try after(done * size, part)
        done += step
      }
    }
  }

  /// Carries out a command of which `what` tells an error.
  func succeed(
    _ entry: SubmissionQueueEntry, _ data: NVMeBuffer?, _ pair: NVMeQueuePair, _ what: String
  ) throws(NVMeDriverError) {
    let completion = try pair.execute(entry, data: data, timeout: options.timeout)
    guard completion.status.isSuccess else {
      throw NVMeDriverError(.status(completion.status), what)
    }
  }

  /// Puts what was written on the medium.
  ///
  /// - Throws: as ``read(_:block:count:)``.
  public func flush(_ namespace: NVMeNamespaceInfo) throws(NVMeDriverError) {
    try succeed(namespace.command(.flush), nil, try pair(), "flush")
  }

  /// Gives blocks back: they read zeros, where the namespace's identify data says so.
  ///
  /// - Throws: as ``read(_:block:count:)``.
  public func deallocate(
    _ namespace: NVMeNamespaceInfo, block: UInt64, count: UInt32
  ) throws(NVMeDriverError) {
    let pair = try pair()
    try withBuffer(16, for: pair) { (buffer) throws(NVMeDriverError) in
      var range = [UInt8](repeating: 0, count: 16)
      for index in 0..<4 {
        range[4 + index] = UInt8(truncatingIfNeeded: count >> UInt32(index * 8))
      }
      for index in 0..<8 {
        range[8 + index] = UInt8(truncatingIfNeeded: block >> UInt64(index * 8))
      }
      try buffer.write(range)
      var entry = namespace.command(.datasetManagement)
      entry.dword11 = 4
      try succeed(entry, buffer, pair, "\(count) blocks from \(block) on")
    }
  }
}
