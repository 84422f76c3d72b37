// What a call does before, during and after a loss.
extension ReconnectingClient {
  /// The connection that there is, waiting for it if need be.
  ///
  /// - Throws: `timedOut` when the server is still away at the deadline, else why it is over for good.
  func waitForClient(until deadline: MonotonicTime) throws(ClientError) -> DeviceClient {
    lock.lock()
    defer { lock.unlock() }
    while true {
      switch phase {
      case .connected(let client): return client
      case .over(let error): throw error.unsent
      case .recovering:
        guard policy.callsWait else { throw .away }
      }
      guard lock.wait(until: deadline) || MonotonicTime.now < deadline else {
        throw Self.stayedAway
      }
    }
  }

  /// Waits while the server is away, and returns at once when it is there or gone for good.
  ///
  /// - Parameter limit: the longest wait.
  public func waitWhileAway(atMost limit: Duration) {
    let deadline = MonotonicTime.now.advanced(by: limit)
    lock.lock()
    defer { lock.unlock() }
    while case .recovering = phase {
      guard lock.wait(until: deadline) || MonotonicTime.now < deadline else { return }
    }
  }

  private static var stayedAway: ClientError {
    ClientError(.timedOut, .timedOut, "the server did not come back in time").unsent
  }

  /// Returns when the call may be made again, and throws when that is not so.
  func recover(
    from error: ClientError, of client: DeviceClient, mayRepeat: Bool
  ) throws(ClientError) {
    guard note(error, of: client) else { throw error }
    guard policy.maximumWait != nil else { throw error }
    guard mayRepeat || !error.mayHaveReachedServer else {
      throw ClientError(
        .interruptedByReconnect, .connectionReset, "the connection was lost during the call")
    }
  }

  /// Takes note of an error that a connection gave; false when the connection goes on.
  @discardableResult
  package func note(_ error: ClientError, of client: DeviceClient) -> Bool {
    var failure: ClientError?
    switch error.code {
    case .disconnected, .protocolViolation: failure = client.connectionFailure
    case .timedOut where policy.endsSilentConnections: failure = error
    default: break
    }
    guard let failure else { return false }
    noteLoss(of: client, failure)
    return true
  }

  /// Makes calls on the connection that there is; while the server is away, waits for it.
  ///
  /// For what this class has no method for. What `body` sets up on that connection is not set up again
  /// after a loss.
  /// - Parameters:
  ///   - isRepeatable: whether `body` may run again on the next connection when the loss came after
  ///     something was sent.
  ///   - body: gets the connection, which it must not keep.
  /// - Throws: what `body` throws, `interruptedByReconnect`, `timedOut`, or why it is over.
  public func withClient<Result>(
    isRepeatable: Bool = false, _ body: (DeviceClient) throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    let deadline = MonotonicTime.now.advanced(by: options.timeout)
    while true {
      let client = try waitForClient(until: deadline)
      do throws(ClientError) { return try body(client) } catch {
        try recover(from: error, of: client, mayRepeat: isRepeatable)
      }
    }
  }

  /// Tells the server something that the next one must be told as well, and notes it down.
  func change<Result>(
    _ body: (DeviceClient) throws(ClientError) -> Result,
    record: (inout SessionLedger) -> Void
  ) throws(ClientError) -> Result {
    let deadline = MonotonicTime.now.advanced(by: options.timeout)
    while true {
      let client = try waitForClient(until: deadline)
      do throws(ClientError) {
        let result = try body(client)
        let isCurrent = lock.withLock {
          guard case .connected(let current) = phase, current === client else { return false }
          record(&ledger)
          return true
        }
        if isCurrent { return result }
        // The server that was told is gone, and the next one has not heard of it.
      } catch {
        try recover(from: error, of: client, mayRepeat: true)
      }
    }
  }

  // MARK: Regions

  /// A region of the device; it goes on working after a loss.
  ///
  /// - Throws: `rejected` when the device has no such index, else as every call.
  public func region(at index: Int) throws(ClientError) -> ReconnectingRegion {
    if let slot = lock.withLock({ slots[index] }) {
      return ReconnectingRegion(client: self, slot: slot)
    }
    let info = try withClient(isRepeatable: true) { client throws(ClientError) in
      try client.region(at: index).info
    }
    let slot = lock.withLock {
      let slot = slots[index] ?? RegionSlot(info: info)
      slots[index] = slot
      return slot
    }
    return ReconnectingRegion(client: self, slot: slot)
  }

  /// Asks for the descriptors through which parts of a region can be reached without messages, as
  /// `DeviceClient.ioDescriptors(region:)`.
  ///
  /// They are the present server's: ask again after `ConnectionEvent.restored`.
  /// - Throws: as that one; also as every call here (see ``ReconnectingClient``).
  public func ioDescriptors(
    region: ReconnectingRegion
  ) throws(ClientError) -> ClientIODescriptors {
    let index = region.index
    return try withClient(isRepeatable: true) { client throws(ClientError) in
      try client.ioDescriptors(region: client.region(at: index))
    }
  }

  /// Carries an access out on the connection that there is.
  ///
  /// - Parameters:
  ///   - range: where it reads; nil for a write.
  ///   - body: gets the longest wait, nil for the usual one.
  @inline(__always)
  func access<Result>(
    _ place: ReconnectingRegion, reading range: (RegionOffset, Int)? = nil,
    _ body: (ClientRegion, Duration?) throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    let deadline = MonotonicTime.now.advanced(by: options.timeout)
    if let region = place.current {
      do throws(ClientError) { return try body(region, nil) } catch {
        try recover(
          from: error, of: region.client, mayRepeat: place.mayRepeat(reading: range))
      }
    }
    return try accessLater(place, reading: range, until: deadline, body)
  }

  @inline(never)
  private func accessLater<Result>(
    _ place: ReconnectingRegion, reading range: (RegionOffset, Int)?,
    until deadline: MonotonicTime,
    _ body: (ClientRegion, Duration?) throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    while true {
      let region = place.form(of: try resolve(place.slot, until: deadline))
      let limit = deadline.remaining
      guard limit > .zero else { throw Self.stayedAway }
      do throws(ClientError) { return try body(region, limit) } catch {
        try recover(
          from: error, of: region.client, mayRepeat: place.mayRepeat(reading: range))
      }
    }
  }

  /// The object through which a region is reached now.
  private func resolve(
    _ slot: RegionSlot, until deadline: MonotonicTime
  ) throws(ClientError) -> ClientRegion {
    while true {
      let client = try waitForClient(until: deadline)
      do throws(ClientError) {
        // Counted before the question: a change that comes before the answer is kept takes it back.
        let changeCount = slot.changeCount
        let region = try client.region(at: Int(slot.info.index))
        lock.withLock {
          if case .connected(let current) = phase, current === client {
            slot.keep(region, since: changeCount)
          }
        }
        return region
      } catch {
        try recover(from: error, of: client, mayRepeat: true)
      }
    }
  }

  /// Whether the policy, or what every PCI device promises, allows to repeat a read.
  func isRepeatable(
    _ info: RegionInfo, _ offset: RegionOffset, _ byteCount: Int
  ) -> Bool {
    let index = Int(info.index)
    if index == DeviceIdentity.configurationRegion, identity.flags.contains(.pci) { return true }
    return policy.repeatableReads.contains { $0.covers(index, offset, byteCount) }
  }

  // MARK: The device as a whole

  /// Resets the device.
  ///
  /// - Parameter timeout: the longest wait for the reply; nil for the client's usual one.
  /// - Throws: `interruptedByReconnect` when the loss came meanwhile, else as every call.
  public func reset(timeout: Duration? = nil) throws(ClientError) {
    try withClient { client throws(ClientError) in try client.reset(timeout: timeout) }
  }

  /// Handles what the server sends until the time is over, across losses.
  ///
  /// - Throws: why the connection is over for good.
  public func serve(timeout: Duration) throws(ClientError) {
    let deadline = MonotonicTime.now.advanced(by: timeout)
    while MonotonicTime.now < deadline {
      do throws(ClientError) {
        let client = try waitForClient(until: deadline)
        do throws(ClientError) { try client.serve(timeout: deadline.remaining) } catch {
          try recover(from: error, of: client, mayRepeat: true)
        }
      } catch {
        if error.code == .timedOut { return }
        throw error
      }
    }
  }
}
