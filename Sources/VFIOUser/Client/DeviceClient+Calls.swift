import CVFIOUserLinux

// How a command goes out and its reply comes back. A blocking call without contention costs one send
// and one receive on the calling thread, and allocates nothing.
extension DeviceClient {
  /// What a reply's decoder gets: the payload, and the descriptors, of which it takes what it needs;
  /// the rest is closed.
  typealias Decoder<Result> = (RawSpan, inout ReceivedDescriptors) throws(WireError) -> Result

  /// Sends a message and waits for its reply.
  func call<Message: WireMessage, Result>(
    _ command: Command, _ message: Message, descriptors: [CInt] = [], timeout: Duration? = nil,
    decode: Decoder<Result>
  ) throws(ClientError) -> Result {
    try call(
      command, payloadByteCount: message.encodedByteCount, descriptors: descriptors,
      timeout: timeout,
      encode: { (bytes: inout MutableRawSpan) throws(WireError) in
        try message.encode(into: &bytes, at: MessageHeader.byteCount)
      }, decode: decode)
  }

  /// Sends a command whose payload `encode` writes behind the header, and waits for its reply.
  @inline(__always)
  func call<Result>(
    _ command: Command, payloadByteCount: Int, descriptors: [CInt] = [], timeout: Duration? = nil,
    encode: (inout MutableRawSpan) throws(WireError) -> Void, decode: Decoder<Result>
  ) throws(ClientError) -> Result {
    let deadline = MonotonicTime.now.advanced(by: timeout ?? options.timeout)
    let identity = try send(
      command, payloadByteCount: payloadByteCount, descriptors: descriptors, deadline: deadline,
      encode: encode)
    // The socket's own timeout bounds the first wait when it is the one that was asked for.
    return try finish(
      identity, command, deadline: deadline, mayBlockInReceive: timeout == nil, decode: decode)
  }

  /// Sends a command that will be replied to; returns its identity.
  @inline(__always)
  func send(
    _ command: Command, payloadByteCount: Int, descriptors: [CInt] = [], deadline: MonotonicTime,
    encode: (inout MutableRawSpan) throws(WireError) -> Void
  ) throws(ClientError) -> UInt16 {
    lock.lock()
    if let failure {
      lock.unlock()
      throw failure.unsent
    }
    guard let identity = replies.open(command) else {
      lock.unlock()
      throw ClientError(
        .tooManyPending, .noBufferSpace, "too many replies are outstanding"
      ).unsent
    }
    do {
      try transmit(
        MessageHeader(
          messageID: identity, command: command, payloadByteCount: payloadByteCount),
        descriptors, encode)
    } catch {
      replies.close(identity)
      lock.unlock()
      throw (error.code == .disconnected ? fail(error) : error).unsent
    }
    let isSent = channel.backlog.isEmpty
    lock.unlock()
    if !isSent {
      do { try drain(until: deadline) } catch {
        lock.withLock { if replies.state(identity) == .waiting { replies.abandon(identity) } }
        throw error
      }
    }
    return identity
  }

  /// Sends a command that will not be replied to.
  @inline(__always)
  func post(
    _ command: Command, payloadByteCount: Int,
    encode: (inout MutableRawSpan) throws(WireError) -> Void
  ) throws(ClientError) {
    lock.lock()
    if let failure {
      lock.unlock()
      throw failure.unsent
    }
    do {
      try transmit(
        MessageHeader(
          messageID: UInt16.max, command: command, payloadByteCount: payloadByteCount,
          flags: .noReply), [], encode)
    } catch {
      lock.unlock()
      throw (error.code == .disconnected ? fail(error) : error).unsent
    }
    let isSent = channel.backlog.isEmpty
    lock.unlock()
    if !isSent { try drain(until: MonotonicTime.now.advanced(by: options.timeout)) }
  }

  /// Builds and sends one message; where it throws, nothing of it was sent. The caller holds the lock.
  @inline(__always)
  private func transmit(
    _ header: MessageHeader, _ descriptors: [CInt],
    _ encode: (inout MutableRawSpan) throws(WireError) -> Void
  ) throws(ClientError) {
    do {
      try channel.build(Int(header.byteCount)) { (bytes: inout MutableRawSpan) throws(WireError) in
        try header.encode(into: &bytes)
        try encode(&bytes)
      }
    } catch {
      throw ClientError(.invalidArgument, .invalidArgument, error.context)
    }
    do { try channel.sendBuilt(Int(header.byteCount), descriptors: descriptors) } catch {
      if error == .brokenPipe || error == .connectionReset || error == .socketNotConnected {
        throw .lostServer
      }
      throw ClientError(.disconnected, error, "cannot send to the server")
    }
  }

  // MARK: Waiting

  /// Waits for the reply to a command, receiving for everybody if nobody else does.
  @inline(__always)
  func finish<Result>(
    _ identity: UInt16, _ command: Command, deadline: MonotonicTime, mayBlockInReceive: Bool,
    decode: Decoder<Result>
  ) throws(ClientError) -> Result {
    lock.lock()
    while true {
      if replies.state(identity) == .answered {
        let reply = replies.takeReply(identity)
        lock.unlock()
        return try decodeKept(reply, decode)
      }
      if let failure {
        if replies.state(identity) == .waiting { replies.close(identity) }
        lock.unlock()
        throw failure
      }
      if !isReceiving {
        isReceiving = true
        lock.unlock()
        return try lead(
          identity, command, deadline: deadline, mayBlockInReceive: mayBlockInReceive,
          decode: decode)
      }
      waiterCount += 1
      let isInTime = lock.wait(until: deadline)
      waiterCount -= 1
      if !isInTime, replies.state(identity) == .waiting {
        replies.abandon(identity)
        lock.unlock()
        throw .late
      }
    }
  }

  /// Decodes a reply that another thread received.
  private func decodeKept<Result>(
    _ reply: ReplyTable.Reply, _ decode: Decoder<Result>
  ) throws(ClientError) -> Result {
    if let errno = reply.failure { throw ClientError(.rejected, errno, "the server refused") }
    let box = reply.descriptors ?? ReceivedDescriptorsBox(ReceivedDescriptors())
    guard box.descriptors.areComplete else { throw Self.lostDescriptors }
    do { return try decode(reply.payload.rawSpan, &box.descriptors) } catch {
      throw fail(ClientError(error))
    }
  }

  private static var lostDescriptors: ClientError {
    ClientError(.systemCall, .tooManyOpenFiles, "no room for the descriptors of a reply")
  }

  /// Receives until the reply to `identity` is here, which is decoded where it lies.
  @inline(__always)
  private func lead<Result>(
    _ identity: UInt16, _ command: Command, deadline: MonotonicTime, mayBlockInReceive: Bool,
    decode: Decoder<Result>
  ) throws(ClientError) -> Result {
    var mayBlock = mayBlockInReceive
    while true {
      do {
        while let header = try nextHeader(channel) {
          if header.isReply, header.messageID == identity {
            return try takeOwnReply(identity, command, header, decode)
          }
          try dispatch(header, on: channel)
        }
        try receiveMore(until: deadline, mayBlock: mayBlock)
      } catch {
        lock.lock()
        if replies.state(identity) == .waiting {
          if failure == nil { replies.abandon(identity) } else { replies.close(identity) }
        }
        lock.unlock()
        resign()
        throw error
      }
      mayBlock = false
    }
  }

  /// Takes the reply that the receiving thread itself waits for, and stops receiving.
  @inline(__always)
  private func takeOwnReply<Result>(
    _ identity: UInt16, _ command: Command, _ header: MessageHeader, _ decode: Decoder<Result>
  ) throws(ClientError) -> Result {
    var outcome = Swift.Result<Result, ClientError>.failure(.closed)
    channel.take(header) { payload in
      var descriptors = channel.takeDescriptors()
      if header.command != command {
        outcome = .failure(
          fail(ClientError(.protocolViolation, .badMessage, "a reply is for another command")))
      } else if let errno = header.failure {
        outcome = .failure(ClientError(.rejected, errno, "the server refused"))
      } else if !descriptors.areComplete {
        outcome = .failure(Self.lostDescriptors)
      } else {
        do throws(WireError) { outcome = .success(try decode(payload, &descriptors)) } catch {
          outcome = .failure(fail(ClientError(error)))
        }
      }
    }
    // A caller's loop would never hear of a command that lies in the buffer already.
    if channel.hasBufferedBytes { dispatchBuffered() }
    lock.lock()
    if replies.state(identity) == .waiting { replies.close(identity) }
    isReceiving = false
    if waiterCount > 0 { lock.broadcast() }
    lock.unlock()
    return try outcome.get()
  }

  /// Stops receiving, so that another thread may.
  func resign() {
    lock.lock()
    isReceiving = false
    if waiterCount > 0 { lock.broadcast() }
    lock.unlock()
  }
}
