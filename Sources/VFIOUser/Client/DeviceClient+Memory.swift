import CVFIOUserLinux

// Client memory: what the device may reach, and how.
extension DeviceClient {
  /// Lets the device reach memory directly: the server may map it.
  ///
  /// Accesses by message are served as well. The server can keep its mapping after an unmap; grant
  /// memory in this way only to a server that may change it at any time.
  /// - Parameters:
  ///   - memory: made by `SharedMemory.init(byteCount:)`; all of it is granted.
  ///   - address: where the device finds it.
  ///   - rights: what the device may do.
  /// - Throws: `rejected` (EEXIST for an overlap), `invalidArgument`, else as every call. After
  ///   `timedOut` the server may have the range: the device reaches nothing of it by messages, and
  ///   `unmapMemory(at:byteCount:timeout:)` takes it away before it can be mapped again.
  public func mapMemory(
    _ memory: SharedMemory, at address: DMAAddress, rights: DMARights = [.read, .write]
  ) throws(ClientError) {
    try map(
      DMAMapRequest(rights: rights, address: address, byteCount: UInt64(memory.byteCount)),
      memory, descriptors: [memory.rawDescriptor])
  }

  /// Lets the device reach a part of a file that the caller keeps, such as a guest's memory.
  ///
  /// - Parameters:
  ///   - descriptor: lent for the call; the server gets a duplicate.
  ///   - fileOffset: where the range starts in the file, in bytes.
  ///   - byteCount: the length of the range, in bytes.
  /// - Throws: as `mapMemory(_:at:rights:)`; `systemCall` when the file cannot be mapped here, which
  ///   serving messages needs.
  public func mapMemory(
    descriptor: CInt, fileOffset: UInt64, byteCount: UInt64, at address: DMAAddress,
    rights: DMARights = [.read, .write]
  ) throws(ClientError) {
    let memory: SharedMemory
    do throws(Errno) {
      let copy = OwnedDescriptor(adopting: try Errno.checkShim(cvfu_duplicate(descriptor)))
      memory = try SharedMemory(
        adopting: copy, offset: fileOffset,
        byteCount: byteCount, writable: rights.contains(.write))
    } catch {
      throw ClientError(.systemCall, error, "cannot map the memory")
    }
    try map(
      DMAMapRequest(
        rights: rights, fileOffset: fileOffset, address: address, byteCount: byteCount),
      memory, descriptors: [descriptor])
  }

  /// Lets the device reach memory by messages only, so that every access is checked here.
  ///
  /// - Parameters:
  ///   - memory: all of it is granted.
  ///   - address: where the device finds it.
  ///   - rights: what the device may do; enforced here.
  /// - Throws: as `mapMemory(_:at:rights:)`.
  public func mapPrivateMemory(
    _ memory: any ClientMemory, at address: DMAAddress, rights: DMARights = [.read, .write]
  ) throws(ClientError) {
    try map(
      DMAMapRequest(rights: rights, address: address, byteCount: UInt64(memory.byteCount)),
      memory, descriptors: [])
  }

  private func map(
    _ request: DMAMapRequest, _ memory: any ClientMemory, descriptors: [CInt]
  ) throws(ClientError) {
    guard request.byteCount > 0,
      !request.address.rawValue.addingReportingOverflow(request.byteCount - 1).overflow
    else {
      throw ClientError(.invalidArgument, .invalidArgument, "the range leaves the address space")
    }
    let grant = GrantTable.Grant(
      address: request.address, byteCount: request.byteCount, rights: request.rights,
      memory: memory, memoryOffset: 0)
    // Before the server knows of it: it may use the range before its reply is read here.
    let isNew = try lock.withLock { () throws(ClientError) in
      guard UInt64(grants.count) < capabilities.effectiveDMAMapCount else {
        throw ClientError(.invalidArgument, .noSpace, "too many ranges are mapped")
      }
      return grants.insert(grant)
    }
    guard isNew else {
      throw ClientError(.invalidArgument, .fileExists, "the range overlaps a mapped one")
    }
    do {
      try call(.dmaMap, request, descriptors: descriptors) { _, _ throws(WireError) in }
    } catch {
      lock.withLock {
        if error.code == .rejected || !error.mayHaveReachedServer {
          _ = grants.remove(address: request.address, byteCount: request.byteCount)
        } else {
          // The server may have it, now or later: it can still be taken away.
          grants.withdraw(address: request.address, byteCount: request.byteCount)
        }
      }
      throw error
    }
  }

  /// Takes a range away from the device. When it returns, no access is in flight.
  ///
  /// The range must be exactly one that was mapped. Accesses by message are served until the server
  /// has replied, and refused afterwards, whatever the reply was. Where the call fails, the range is still
  /// one that can be unmapped, and not mapped anew: the server may have it. A command that was not sent
  /// (`ClientError.mayHaveReachedServer`) changes nothing.
  /// - Throws: `invalidArgument` (ENOENT) when the range is not mapped; `rejected` with ENOENT when the
  ///   server does not know it, which is no error where an earlier call had failed, and ends it; else as
  ///   every call.
  public func unmapMemory(
    at address: DMAAddress, byteCount: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    guard let grant = lock.withLock({ grants.grant(address: address, byteCount: byteCount) }) else {
      throw ClientError(.invalidArgument, .noSuchFileOrDirectory, "the range is not mapped")
    }
    let request = DMAUnmapRequest(address: address, byteCount: byteCount)
    do {
      try call(.dmaUnmap, request, timeout: timeout) { payload, _ throws(WireError) in
        // Some servers leave the echo out.
        if payload.byteCount == 0 { return }
        let reply = try DMAUnmapReply(decoding: payload)
        guard reply.address == address, reply.byteCount == byteCount else {
          throw WireError(.badRange, "a reply is for another range")
        }
      }
    } catch {
      guard error.mayHaveReachedServer else { throw error }
      guard error.code == .rejected, error.errno == .noSuchFileOrDirectory else {
        lock.withLock { grants.withdraw(address: address, byteCount: byteCount) }
        throw error
      }
      lock.withLock { _ = grants.remove(address: address, byteCount: byteCount) }
      // The server never got it, or an earlier unmap that was late has taken it away: as it should be.
      if grant.memory == nil { return }
      throw error
    }
    lock.withLock { _ = grants.remove(address: address, byteCount: byteCount) }
  }
}
