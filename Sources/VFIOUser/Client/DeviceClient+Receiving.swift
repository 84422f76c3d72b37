import CVFIOUserLinux

// What the thread that receives does, for itself and for the others.
extension DeviceClient {
  /// The next whole message of a channel, or nil; gives the connection up when framing is lost.
  @inline(__always)
  func nextHeader(_ channel: MessageChannel) throws(ClientError) -> MessageHeader? {
    do { return try channel.nextHeader() } catch { throw fail(ClientError(error)) }
  }

  /// Hands a message to whom it concerns: a waiting thread, or the memory that the server asks for.
  func dispatch(_ header: MessageHeader, on channel: MessageChannel) throws(ClientError) {
    if header.isReply, channel === self.channel {
      try keepReply(header)
    } else if header.isCommand {
      try serveCommand(header, on: channel)
    } else {
      throw fail(
        ClientError(.protocolViolation, .badMessage, "a message is neither command nor reply"))
    }
  }

  /// Handles the whole messages that are in the buffers; a failure ends the connection.
  func dispatchBuffered() {
    do {
      while let header = try nextHeader(channel) { try dispatch(header, on: channel) }
      guard let twin else { return }
      while let header = try nextHeader(twin) { try dispatch(header, on: twin) }
    } catch {
      // It is kept as the connection's failure, which every later call throws.
    }
  }

  private func keepReply(_ header: MessageHeader) throws(ClientError) {
    var isExpected = true
    channel.take(header) { payload in
      let descriptors = channel.takeDescriptors()
      lock.lock()
      switch replies.state(header.messageID) {
      case .waiting where replies.command(header.messageID) == header.command:
        let isPlain = descriptors.isEmpty && descriptors.areComplete
        replies.answer(
          header.messageID,
          ReplyTable.Reply(
            payload: [UInt8](copying: payload), failure: header.failure,
            descriptors: isPlain ? nil : ReceivedDescriptorsBox(descriptors)))
        if waiterCount > 0 { lock.broadcast() }
      case .abandoned where replies.command(header.messageID) == header.command:
        replies.close(header.messageID)
      default:
        isExpected = false
      }
      lock.unlock()
    }
    guard isExpected else {
      throw fail(
        ClientError(.protocolViolation, .badMessage, "a reply to a command that was not sent"))
    }
  }

  // MARK: Input

  /// Receives at least once, or throws `timedOut`; only for the thread that receives.
  ///
  /// With `mayBlock` the wait may happen in the receiving system call, bounded by the socket's own
  /// timeout; else by poll, whose bound is exact.
  @inline(__always)
  func receiveMore(until deadline: MonotonicTime, mayBlock: Bool) throws(ClientError) {
    if options.polling != .never, twin == nil, try spinForInput(until: deadline) { return }
    if mayBlock, twin == nil, !hasQueuedReplies {
      let sleepStart = options.polling == .never ? nil : spin.willSleep()
      if try accept(channel.receive(isWaiting: true)) {
        if options.polling != .never {
          spin.noteActivity()
          spin.didWake(sleepStart)
        }
        return
      }
    }
    try pollForInput(until: deadline)
  }

  /// Looks for input without sleeping for as long as the polling mode says.
  private func spinForInput(until deadline: MonotonicTime) throws(ClientError) -> Bool {
    spin.noteActivity()
    guard spin.shouldSpin else { return false }
    while true {
      if try accept(channel.receive()) {
        spin.noteHit()
        return true
      }
      let now = MonotonicTime.now
      if spin.isOver(at: now) || now >= deadline {
        spin.noteMiss()
        return false
      }
      cvfu_pause()
    }
  }

  private func pollForInput(until deadline: MonotonicTime) throws(ClientError) {
    while true {
      try flushQueuedReplies()
      let sleepStart = options.polling == .never ? nil : spin.willSleep()
      let ready = poll(forOutput: hasQueuedReplies, until: deadline)
      if options.polling != .never {
        spin.noteActivity()
        spin.didWake(sleepStart)
      }
      var hasReceived = false
      if ready.main { hasReceived = try accept(channel.receive()) }
      if ready.twin, let twin {
        if try accept(twin.receive()) {
          hasReceived = true
          while let header = try nextHeader(twin) { try dispatch(header, on: twin) }
        }
      }
      if hasReceived { return }
      if MonotonicTime.now >= deadline {
        if let failure = connectionFailure { throw failure }
        throw .late
      }
    }
  }

  /// What a receive found: true for bytes, false for nothing yet.
  @inline(__always)
  private func accept(_ reception: MessageChannel.Reception) throws(ClientError) -> Bool {
    switch reception {
    case .received: return true
    case .empty: return false
    case .ended: throw fail(.lostServer)
    case .failed(let errno): throw fail(ClientError(.disconnected, errno, "cannot receive"))
    }
  }

  /// Waits for one of the sockets.
  private func poll(
    forOutput: Bool, until deadline: MonotonicTime
  ) -> (main: Bool, twin: Bool) {
    let events = Int16(POLLIN) | (forOutput ? Int16(POLLOUT) : 0)
    var main = pollfd(fd: channel.socket.rawValue, events: events, revents: 0)
    guard let twin else {
      // Safety: one element, for the time of the call.
      _ = unsafe CVFIOUserLinux.poll(&main, 1, deadline.remainingMilliseconds)
      return (main.revents & ~Int16(POLLOUT) != 0, false)
    }
    let other = pollfd(fd: twin.socket.rawValue, events: events, revents: 0)
    var states: [2 of pollfd] = [main, other]
    var span = states.mutableSpan
    // Safety: two elements, for the time of the call.
    _ = unsafe span.withUnsafeMutableBufferPointer { buffer in
      unsafe CVFIOUserLinux.poll(buffer.baseAddress, 2, deadline.remainingMilliseconds)
    }
    return (
      states[0].revents & ~Int16(POLLOUT) != 0, states[1].revents & ~Int16(POLLOUT) != 0
    )
  }

  // MARK: Output

  /// Sends replies that found no room before; only for the thread that receives.
  func flushQueuedReplies() throws(ClientError) {
    guard hasQueuedReplies else { return }
    lock.lock()
    do {
      let isMainEmpty = try channel.flush()
      let isTwinEmpty = try twin?.flush() ?? true
      hasQueuedReplies = !(isMainEmpty && isTwinEmpty)
      lock.unlock()
    } catch {
      lock.unlock()
      throw fail(.lostServer)
    }
  }

  /// Sends what the socket did not take at once. Meanwhile it receives, if nobody else does: the
  /// server may be unable to read because nobody reads what it writes.
  func drain(until deadline: MonotonicTime) throws(ClientError) {
    while true {
      lock.lock()
      if let failure {
        lock.unlock()
        throw failure
      }
      let isEmpty: Bool
      do { isEmpty = try channel.flush() } catch {
        lock.unlock()
        throw fail(.lostServer)
      }
      let leads = !isReceiving && !isEmpty
      if leads { isReceiving = true }
      lock.unlock()
      if isEmpty { return }
      if MonotonicTime.now >= deadline {
        if leads { resign() }
        throw .late
      }
      if leads {
        defer { resign() }
        try receiveAvailable()
        let ready = poll(forOutput: true, until: deadline)
        if ready.main || ready.twin { try receiveAvailable() }
      } else {
        var state = pollfd(fd: channel.socket.rawValue, events: Int16(POLLOUT), revents: 0)
        // Safety: one element, for the time of the call. The receiver may leave meanwhile, hence the
        // short wait.
        _ = unsafe CVFIOUserLinux.poll(&state, 1, min(10, deadline.remainingMilliseconds))
      }
    }
  }

  /// Handles everything that is there, without blocking; only for the thread that receives.
  func receiveAvailable() throws(ClientError) {
    try flushQueuedReplies()
    while let header = try nextHeader(channel) { try dispatch(header, on: channel) }
    while try accept(channel.receive()) {
      while let header = try nextHeader(channel) { try dispatch(header, on: channel) }
    }
    guard let twin else { return }
    while try accept(twin.receive()) {
      while let header = try nextHeader(twin) { try dispatch(header, on: twin) }
    }
  }

  // MARK: For a caller's own loop

  /// Handles what the server sent, without blocking: its commands are answered.
  ///
  /// Call it when one of `descriptors` is readable and no call is waiting. Where another thread
  /// receives it returns at once, since that thread does the same.
  /// - Throws: what ended the connection.
  public func process() throws(ClientError) {
    _ = try processUnlessReceiving()
  }

  /// As `process()`; false when another thread receives.
  func processUnlessReceiving() throws(ClientError) -> Bool {
    lock.lock()
    if let failure {
      lock.unlock()
      throw failure
    }
    guard !isReceiving else {
      lock.unlock()
      return false
    }
    isReceiving = true
    lock.unlock()
    defer { resign() }
    try receiveAvailable()
    return true
  }

  /// Handles what the server sends until the time is over.
  ///
  /// - Throws: what ended the connection.
  public func serve(timeout: Duration) throws(ClientError) {
    let deadline = MonotonicTime.now.advanced(by: timeout)
    while MonotonicTime.now < deadline {
      lock.lock()
      if let failure {
        lock.unlock()
        throw failure
      }
      if isReceiving {
        waiterCount += 1
        _ = lock.wait(until: deadline)
        waiterCount -= 1
        lock.unlock()
        continue
      }
      isReceiving = true
      lock.unlock()
      defer { resign() }
      do {
        try pollForInput(until: deadline)
        try receiveAvailable()
      } catch {
        if error.code == .timedOut { return }
        throw error
      }
    }
  }
}
