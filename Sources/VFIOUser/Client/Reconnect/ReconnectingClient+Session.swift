// Memory and interrupts: what a server is told, and told again.
extension ReconnectingClient {
  // MARK: Memory

  /// Lets the device reach memory directly; see `DeviceClient.mapMemory(_:at:rights:)`.
  ///
  /// - Throws: as that one; also as every call here (see ``ReconnectingClient``).
  public func mapMemory(
    _ memory: SharedMemory, at address: DMAAddress, rights: DMARights = [.read, .write]
  ) throws(ClientError) {
    try map(
      SessionLedger.Grant(
        address: address, byteCount: UInt64(memory.byteCount), rights: rights,
        source: .shared(memory)))
  }

  /// Lets the device reach a part of a file; see
  /// `DeviceClient.mapMemory(descriptor:fileOffset:byteCount:at:rights:)`. A duplicate of the
  /// descriptor is kept.
  ///
  /// - Throws: as that one, `systemCall` also when no duplicate can be had; as every call here.
  public func mapMemory(
    descriptor: CInt, fileOffset: UInt64, byteCount: UInt64, at address: DMAAddress,
    rights: DMARights = [.read, .write]
  ) throws(ClientError) {
    let file: ArmedDescriptor
    do { file = try ArmedDescriptor(file: descriptor) } catch {
      throw ClientError(.systemCall, error, "cannot keep the file")
    }
    try map(
      SessionLedger.Grant(
        address: address, byteCount: byteCount, rights: rights,
        source: .file(file, offset: fileOffset)))
  }

  /// Lets the device reach memory by messages only; see
  /// `DeviceClient.mapPrivateMemory(_:at:rights:)`.
  ///
  /// - Throws: as that one; also as every call here.
  public func mapPrivateMemory(
    _ memory: any ClientMemory, at address: DMAAddress, rights: DMARights = [.read, .write]
  ) throws(ClientError) {
    try map(
      SessionLedger.Grant(
        address: address, byteCount: UInt64(memory.byteCount), rights: rights,
        source: .hidden(memory)))
  }

  private func map(_ grant: SessionLedger.Grant) throws(ClientError) {
    try change { client throws(ClientError) in
      try grant.map(on: client)
    } record: {
      $0.add(grant)
    }
  }

  /// Takes a range away from the device; see `DeviceClient.unmapMemory(at:byteCount:timeout:)`.
  ///
  /// When the connection is lost meanwhile, it returns once the server is back and has not got the
  /// range any more. Where it throws anything but `timedOut` for a server that is away, the range
  /// is not mapped again after a loss.
  public func unmapMemory(
    at address: DMAAddress, byteCount: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    var told: DeviceClient?
    do throws(ClientError) {
      try change { client throws(ClientError) in
        told = client
        try client.unmapMemory(at: address, byteCount: byteCount, timeout: timeout)
      } record: {
        $0.removeGrant(at: address, byteCount: byteCount)
      }
    } catch {
      // That connection refuses the range from now on, whatever the server said.
      if error.mayHaveReachedServer, error.code != .invalidArgument {
        forgetGrant(at: address, byteCount: byteCount, refusedBy: told)
      }
      throw error
    }
  }

  /// Has no server get a range again.
  ///
  /// - Parameter client: the connection that the range was taken away from.
  func forgetGrant(at address: DMAAddress, byteCount: UInt64, refusedBy client: DeviceClient?) {
    let successor: DeviceClient? = lock.withLock {
      ledger.removeGrant(at: address, byteCount: byteCount)
      guard case .connected(let current) = phase, current !== client else { return nil }
      return current
    }
    // A server that came back meanwhile has got it. Its connection, too, refuses it whatever it says.
    try? successor?.unmapMemory(at: address, byteCount: byteCount)
  }

  // MARK: Interrupts

  /// What the server says about an interrupt type.
  ///
  /// - Throws: as `DeviceClient.interruptInfo(index:)`; also as every call here.
  public func interruptInfo(index: Int) throws(ClientError) -> IRQInfo {
    try withClient(isRepeatable: true) { client throws(ClientError) in
      try client.interruptInfo(index: index)
    }
  }

  /// Has interrupts delivered through eventfds that are made here, and that stay the same after a
  /// loss; see `DeviceClient.enableInterrupts(index:start:count:)`.
  ///
  /// - Throws: as that one; also as every call here.
  public func enableInterrupts(
    index: Int, start: Int = 0, count: Int
  ) throws(ClientError) -> [ClientInterrupt] {
    try assignEvents(index: index, start: start, count: count, action: .trigger)
  }

  /// Assigns eventfds that are made here and that *unmask* interrupts; see
  /// `DeviceClient.enableResample(index:start:count:)`.
  ///
  /// - Throws: as that one; also as every call here.
  public func enableResample(
    index: Int, start: Int = 0, count: Int = 1
  ) throws(ClientError) -> [ClientInterrupt] {
    try assignEvents(index: index, start: start, count: count, action: .unmask)
  }

  private func assignEvents(
    index: Int, start: Int, count: Int, action: SetIRQs.Action
  ) throws(ClientError) -> [ClientInterrupt] {
    let interrupts = try ClientInterrupt.make(start: start, count: count)
    try assign(
      interrupts.map { ArmedDescriptor($0) }, index: index, start: start, action: action)
    return interrupts
  }

  /// Assigns eventfds of the caller's to interrupts, such as KVM's irqfds; see
  /// `DeviceClient.assignInterrupts(index:start:descriptors:action:)`. Duplicates are kept.
  ///
  /// - Throws: as that one, but `systemCall` (EINVAL, EBADF) for a descriptor that is no eventfd or
  ///   not open, and `systemCall` (EMFILE) when no duplicate can be had; also as every call here.
  public func assignInterrupts(
    index: Int, start: Int = 0, descriptors: [CInt], action: SetIRQs.Action = .trigger
  ) throws(ClientError) {
    var events: [ArmedDescriptor] = []
    for descriptor in descriptors {
      do { events.append(try ArmedDescriptor(event: descriptor)) } catch {
        throw ClientError(.systemCall, error, "cannot keep an eventfd")
      }
    }
    try assign(events, index: index, start: start, action: action)
  }

  private func assign(
    _ events: [ArmedDescriptor], index: Int, start: Int, action: SetIRQs.Action
  ) throws(ClientError) {
    try change { client throws(ClientError) in
      try client.assignInterrupts(
        index: index, start: start, descriptors: events.map(\.rawValue), action: action)
    } record: {
      $0.assign(events, index: index, start: start, action: action)
    }
  }

  /// Takes the eventfds of a range of interrupts away.
  ///
  /// - Throws: as `DeviceClient.releaseInterrupts(index:start:count:action:)`; also as every call
  ///   here.
  public func releaseInterrupts(
    index: Int, start: Int = 0, count: Int, action: SetIRQs.Action = .trigger
  ) throws(ClientError) {
    try change { client throws(ClientError) in
      try client.releaseInterrupts(index: index, start: start, count: count, action: action)
    } record: {
      $0.release(index: index, start: start, count: count, action: action)
    }
  }

  /// Disables every interrupt of a type.
  ///
  /// - Throws: as `DeviceClient.disableInterrupts(index:)`; also as every call here.
  public func disableInterrupts(index: Int) throws(ClientError) {
    try change { client throws(ClientError) in
      try client.disableInterrupts(index: index)
    } record: {
      $0.disable(index: index)
    }
  }

  /// Masks interrupts: all of the range, or those whose flag is true.
  ///
  /// - Throws: as `DeviceClient.maskInterrupts(index:start:count:where:)`; also as every call here.
  public func maskInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    try change { client throws(ClientError) in
      try client.maskInterrupts(index: index, start: start, count: count, where: flags)
    } record: {
      $0.mask(index: index, start: start, count: count, where: flags)
    }
  }

  /// Unmasks interrupts: all of the range, or those whose flag is true.
  ///
  /// - Throws: as ``maskInterrupts(index:start:count:where:)``.
  public func unmaskInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    var owed: [ArmedDescriptor] = []
    try change { client throws(ClientError) in
      try client.unmaskInterrupts(index: index, start: start, count: count, where: flags)
    } record: {
      owed = $0.unmask(index: index, start: start, count: count, where: flags)
    }
    for event in owed { event.signal() }
  }

  /// Has the server trigger interrupts: all of the range, or those whose flag is true.
  ///
  /// - Throws: as `DeviceClient.triggerInterrupts(index:start:count:where:)`; also as every call
  ///   here.
  public func triggerInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    try withClient { client throws(ClientError) in
      try client.triggerInterrupts(index: index, start: start, count: count, where: flags)
    }
  }
}
