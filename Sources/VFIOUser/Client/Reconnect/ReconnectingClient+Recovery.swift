import CVFIOUserLinux

/// What the thread of a `ReconnectingClient` knows; confined to its loop.
struct Recovery {
  /// The connection that is watched, and its watches.
  var watched: DeviceClient?
  var watches: [WatchToken] = []
  /// How many attempts there were since the loss.
  var attempts = 0
  /// The time before the next attempt, if the last one failed.
  var delay: Duration
  /// Until when the server may come back.
  var deadline = MonotonicTime(nanoseconds: .max)
  /// When the connection was restored last.
  var restoration = MonotonicTime(nanoseconds: 0)
}

// How a loss is noticed and made good. Everything but `noteLoss` runs on the client's own thread.
extension ReconnectingClient {
  // MARK: Noticing

  /// Watches a connection's sockets for their end.
  func watch(_ client: DeviceClient) {
    recovery.watched = client
    let interest: EventInterest = policy.servesInBackground ? [.readable, .hangup] : [.hangup]
    for descriptor in client.descriptors {
      do {
        recovery.watches.append(
          try thread.loop.watch(descriptor, interest) { [weak self, weak client] events in
            guard let self, let client else { return }
            if events.contains(.hangup) { return self.hungUp(client) }
            self.serveInBackground(client)
          })
      } catch {
        // Calls notice a loss nevertheless.
        continue
      }
    }
  }

  private func unwatch() {
    for token in recovery.watches { thread.loop.unwatch(token) }
    recovery.watches = []
    recovery.watched = nil
  }

  /// Answers what the server sent, unless a call does.
  private func serveInBackground(_ client: DeviceClient) {
    if (try? client.processUnlessReceiving()) ?? true { return }
    // A call receives: this thread would only be woken in vain by what is meant for that one.
    for token in recovery.watches { thread.loop.modify(token, .hangup) }
    thread.loop.schedule(after: .milliseconds(1)) { [weak self, weak client] in
      guard let self, let client, self.recovery.watched === client else { return }
      for token in self.recovery.watches { self.thread.loop.modify(token, [.readable, .hangup]) }
    }
  }

  /// The peer is gone: whoever receives takes what it left behind, which still counts.
  private func hungUp(_ client: DeviceClient) {
    guard recovery.watched === client else { return }
    unwatch()
    bury(client, patience: 100)
  }

  private func bury(_ client: DeviceClient, patience: Int) {
    _ = try? client.processUnlessReceiving()
    if let failure = client.connectionFailure { return noteLoss(of: client, failure) }
    // A thread receives, and sees the end of the stream as soon as it runs.
    guard patience > 0 else { return noteLoss(of: client, .lostServer) }
    thread.loop.schedule(after: .milliseconds(1)) { [weak self] in
      self?.bury(client, patience: patience - 1)
    }
  }

  /// Takes note of a lost connection, once. Threads: any.
  func noteLoss(of client: DeviceClient, _ error: ClientError) {
    let isNews = lock.withLock {
      guard case .connected(let current) = phase, current === client else { return false }
      phase = policy.maximumWait == nil ? .over(error) : .recovering
      forgetRegions()
      lock.broadcast()
      return true
    }
    guard isNews else { return }
    onLoop { $0.handleLoss(of: client, error) }
  }

  private func handleLoss(of client: DeviceClient, _ error: ClientError) {
    unwatch()
    client.close()
    guard !lock.withLock({ isClosed }) else { return }
    onEvent(.lost(error))
    guard let wait = policy.maximumWait else { return onEvent(.givenUp(error)) }
    let now = MonotonicTime.now
    recovery.attempts = 0
    recovery.deadline = now.advanced(by: wait)
    // A connection that breaks as soon as it is there is not made anew without end and pause.
    let isStable = now >= recovery.restoration.advanced(by: policy.longestDelay)
    if isStable { recovery.delay = max(.milliseconds(1), policy.firstDelay) }
    if isStable || recovery.restoration.nanoseconds == 0 { return attempt() }
    scheduleAttempt()
  }

  // MARK: Coming back

  private func scheduleAttempt() {
    let delay = min(recovery.delay, recovery.deadline.remaining)
    recovery.delay = min(recovery.delay * 2, max(policy.longestDelay, policy.firstDelay))
    thread.loop.schedule(after: delay) { [weak self] in self?.attempt() }
  }

  private func attempt() {
    guard isAway else { return }
    recovery.attempts += 1
    onEvent(.attempting(number: recovery.attempts))
    do throws(ClientError) {
      let (client, restored) = try openSession()
      watch(client)
      recovery.restoration = MonotonicTime.now
      guard publish(client, restored) else {
        unwatch()
        return client.close()
      }
      onEvent(.restored(attempts: recovery.attempts))
    } catch {
      lock.withLock { attemptSocket = nil }
      guard isAway else { return }
      onEvent(.attemptFailed(error))
      if error.code == .deviceChanged { return giveUp(error) }
      guard MonotonicTime.now < recovery.deadline else {
        return giveUp(ClientError(.gaveUp, error.errno, "the server did not come back"))
      }
      scheduleAttempt()
    }
  }

  private func giveUp(_ error: ClientError) {
    let isNews = lock.withLock {
      guard case .recovering = phase else { return false }
      phase = .over(error)
      lock.broadcast()
      return true
    }
    if isNews { onEvent(.givenUp(error)) }
  }

  /// A connection that is all that the last one was, and what its server was told.
  private func openSession() throws(ClientError) -> (DeviceClient, SessionLedger) {
    let socket = try opening()
    do throws(Errno) {
      let holder = OwnedDescriptorHolder(try socket.duplicate())
      lock.withLock { attemptSocket = holder }
    } catch { throw ClientError(.systemCall, error, "no descriptor is left") }
    guard isAway else { throw .closed }
    let restored: SessionLedger
    let client = try DeviceClient.connect(adopting: socket, options: relay.relaying(options))
    do throws(ClientError) {
      if let difference = identity.difference(from: try DeviceIdentity(of: client)) {
        throw ClientError(.deviceChanged, .operationNotSupportedByDevice, difference)
      }
      let known = lock.withLock { (ledger: ledger, indices: Array(slots.keys)) }
      restored = known.ledger
      try restored.restore(on: client)
      for index in known.indices { _ = try client.region(at: index) }
      try restoring(client)
    } catch {
      client.close()
      throw error
    }
    lock.withLock { attemptSocket = nil }
    return (client, restored)
  }

  /// Lets calls use the connection; false when the client was closed meanwhile.
  ///
  /// - Parameter restored: what its server was told. Ranges that were taken away since are taken away from it
  ///   first.
  private func publish(_ client: DeviceClient, _ restored: SessionLedger) -> Bool {
    var restored = restored
    while true {
      var gone: [SessionLedger.Grant] = []
      let isPublished: Bool? = lock.withLock {
        guard case .recovering = phase else { return false }
        gone = restored.grants(missingFrom: ledger)
        guard gone.isEmpty else { return nil }
        if policy.signalsInterrupts { ledger.signalAll() }
        phase = .connected(client)
        lock.broadcast()
        return true
      }
      if let isPublished { return isPublished }
      for grant in gone {
        // The connection refuses it from now on, whatever the server says; a lost one is noticed as ever.
        try? client.unmapMemory(at: grant.address, byteCount: grant.byteCount)
        restored.removeGrant(at: grant.address, byteCount: grant.byteCount)
      }
    }
  }
}

extension OwnedDescriptor {
  /// Ends a stream in both directions.
  func shutDown() { _ = shutdown(rawValue, CInt(SHUT_RDWR)) }
}
