import CVFIOUserLinux

/// Our commands that the client has not answered, by message number.
struct OutstandingCommands {
  struct Entry {
    let access: DMAAccess
    let isRead: Bool
    /// When the client has had its time to answer.
    let deadline: MonotonicTime
    /// Nil when the command was cancelled: its reply is awaited and ignored.
    var completion: ((Result<[UInt8], DMAError>) -> Void)?
  }

  private var entries: [UInt16: Entry] = [:]
  private var nextID: UInt16 = 0

  @inline(__always)
  var isEmpty: Bool { entries.isEmpty }

  /// Keeps a command and returns its number; nil when every number is taken.
  mutating func add(_ entry: Entry) -> UInt16? {
    guard entries.count < Int(UInt16.max) else { return nil }
    while entries[nextID] != nil { nextID &+= 1 }
    let number = nextID
    entries[number] = entry
    nextID &+= 1
    return number
  }

  mutating func take(_ number: UInt16) -> Entry? { entries.removeValue(forKey: number) }

  func entry(_ number: UInt16) -> Entry? { entries[number] }

  /// Takes the completions whose time is over, leaving the numbers in place.
  mutating func takeExpired(at now: MonotonicTime) -> [Entry] {
    let expired = entries.filter { $0.value.completion != nil && $0.value.deadline <= now }
    for number in expired.keys { entries[number]?.completion = nil }
    return expired.values.sorted { $0.deadline < $1.deadline }
  }

  /// When the next of those that wait has had its time; nil when none waits.
  var nextDeadline: MonotonicTime? {
    entries.values.lazy.filter { $0.completion != nil }.map(\.deadline).min()
  }

  /// Takes every completion, leaving the numbers in place for replies that are still to come.
  mutating func takeCompletions() -> [Entry] {
    let waiting = entries.sorted { $0.key < $1.key }.map(\.value).filter { $0.completion != nil }
    for number in entries.keys { entries[number]?.completion = nil }
    return waiting
  }
}

extension Session: DMAMessageChannel {
  var maximumTransferByteCount: Int {
    Int(clamping: min(capabilities.effectiveTransferByteCount, UInt64(host.transferLimit)))
  }

  var maximumReadByteCount: Int { min(maximumTransferByteCount, Self.readByteCount) }

  /// The most that one DMA_READ asks for.
  ///
  /// Linux takes so much into a stream socket at once, as a whole or not at all. A longer reply is cut
  /// where the socket is full, and QEMU (10.2) takes a reply that was sent in part for sent: its rest is
  /// lost, and whatever follows is taken for it.
  private static let readByteCount = 32_768

  func sendRead(
    at address: DMAAddress, byteCount: Int,
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    let access = DMAAccess(address: address, count: UInt64(byteCount))
    sendCommand(.dmaRead, access, [], isRead: true, completion)
  }

  func sendWrite(
    at address: DMAAddress, bytes: [UInt8],
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    let access = DMAAccess(address: address, count: UInt64(bytes.count))
    sendCommand(.dmaWrite, access, bytes, isRead: false, completion)
  }

  func pump(until isDone: () -> Bool) -> Bool { exchangeMessages(until: isDone) }

  private func sendCommand(
    _ command: Command, _ access: DMAAccess, _ data: [UInt8], isRead: Bool,
    _ completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    let failure = DMAError(.cancelled, access.address, Int(clamping: access.count))
    let deadline = MonotonicTime.now.advanced(by: host.options.clientTimeout)
    guard end == nil,
      let number = outstanding.add(
        OutstandingCommands.Entry(
          access: access, isRead: isRead, deadline: deadline, completion: completion))
    else { return completion(.failure(failure)) }
    watchDeadlines()
    let payloadByteCount = DMAAccess.fixedByteCount + data.count
    let frame = [UInt8](byteCount: MessageHeader.byteCount + payloadByteCount) { bytes in
      try? MessageHeader(messageID: number, command: command, payloadByteCount: payloadByteCount)
        .encode(into: &bytes)
      try? access.encode(into: &bytes, at: MessageHeader.byteCount)
      try? bytes.store(
        bytes: data.rawSpan, at: MessageHeader.byteCount + dmaMessageLayout.dataOffset)
    }
    let lane = twin ?? channel
    do throws(Errno) {
      try lane.send(frame.rawSpan)
    } catch {
      guard error.isHangup else { return finish(.failed(error)) }
      _ = outstanding.take(number)
      return completion(.failure(failure))
    }
    // Replies are looked for from now on, even while commands are held back.
    noteInterest()
    noteTwinInterest()
  }

  /// Tells a client that agreed on it that a region has to be asked about again.
  func sendRegionChanged(_ index: Int) {
    guard end == nil, isNegotiated, capabilities.offers(.regionChanged) else { return }
    let message = RegionChanged(index: UInt32(index))
    let frame = [UInt8](byteCount: MessageHeader.byteCount + RegionChanged.byteCount) { bytes in
      try? MessageHeader(
        messageID: 0, command: .regionChanged, payloadByteCount: RegionChanged.byteCount,
        flags: .noReply
      ).encode(into: &bytes)
      try? message.encode(into: &bytes, at: MessageHeader.byteCount)
    }
    do throws(Errno) {
      try (twin ?? channel).send(frame.rawSpan)
    } catch { return sendFailed(error) }
    noteInterest()
    noteTwinInterest()
  }

  /// Looks after the commands' deadlines: one timer for all, and none is taken back for a reply.
  private func watchDeadlines() {
    guard deadlineTimer == nil, let next = outstanding.nextDeadline else { return }
    deadlineTimer = host.loop.schedule(after: next.remaining) { [weak self] in
      guard let self else { return }
      deadlineTimer = nil
      for entry in outstanding.takeExpired(at: .now) {
        logger.warning("the client did not answer a DMA message in time")
        entry.completion?(
          .failure(
            DMAError(.timedOut, entry.access.address, Int(clamping: entry.access.count))))
      }
      watchDeadlines()
    }
  }

  /// Takes the reply at the head of `lane` and hands it to whoever waits for it.
  func consumeReply(_ header: MessageHeader, on lane: MessageChannel) {
    lane.take(header) { payload in
      // Replies carry no descriptors: what came is closed here.
      _ = lane.takeDescriptors()
      handleReply(header, payload)
    }
  }

  private func handleReply(_ header: MessageHeader, _ payload: RawSpan) {
    guard let entry = outstanding.entry(header.messageID) else {
      logger.debug("a reply to no command of ours was ignored")
      return
    }
    guard header.command == (entry.isRead ? .dmaRead : .dmaWrite) else {
      return finish(.protocolError("a reply names another command than it answers"))
    }
    _ = outstanding.take(header.messageID)
    if outstanding.isEmpty { noteInterest() }
    guard let completion = entry.completion else { return }
    let address = entry.access.address
    let count = Int(clamping: entry.access.count)
    if header.failure != nil {
      return completion(.failure(DMAError(.clientFailed, address, count)))
    }
    do throws(WireError) {
      if entry.isRead {
        completion(.success(try entry.access.data(ofReply: payload, dmaMessageLayout)))
      } else {
        try entry.access.checkWriteReply(payload)
        completion(.success([]))
      }
    } catch {
      logger.warning("\(header.command) reply refused: \(error.context)")
      completion(.failure(DMAError(.clientFailed, address, count)))
    }
  }

  /// Ends every wait for a reply; replies that still come are ignored.
  func failOutstandingCommands(_ code: DMAError.Code) {
    for entry in outstanding.takeCompletions() {
      entry.completion?(
        .failure(DMAError(code, entry.access.address, Int(clamping: entry.access.count))))
    }
  }

  // MARK: The second socket

  /// Makes the second socket pair, keeps one end and returns the client's.
  func openTwinSocket() throws(Refusal) -> CInt {
    do throws(Errno) {
      let pair = try SocketPair()
      let channel = try MessageChannel(
        adopting: pair.first, maximumMessageByteCount: host.options.maximumMessageByteCount)
      twin = channel
      twinWatch = try host.loop.watch(channel.socket.rawValue, .readable) { [weak self] _ in
        self?.processTwin()
      }
      return pair.second.release()
    } catch {
      throw Refusal(error, "no second socket")
    }
  }

  private func noteTwinInterest() {
    guard let twin, let twinWatch else { return }
    host.loop.modify(twinWatch, twin.backlog.isEmpty ? .readable : [.readable, .writable])
  }

  /// Handles what the second socket has: replies only.
  private func processTwin() {
    guard let twin else { return }
    do throws(Errno) {
      if !twin.backlog.isEmpty {
        try twin.flushOrDrop()
        noteTwinInterest()
      }
      for _ in 0..<64 {
        switch nextReply(on: twin) {
        case .handled: continue
        case .lost, .blocked: return
        case .incomplete: break
        }
        switch twin.receive() {
        case .received: continue
        case .empty: return
        case .ended: return twinEnded()
        case .failed(let error):
          guard error.isHangup else { throw error }
          return twinEnded()
        }
      }
    } catch { finish(.failed(error)) }
  }

  /// The client has closed the second socket. What it has sent on the first before still counts.
  private func twinEnded() {
    // A bound, for a client that has closed this one alone and goes on sending.
    for _ in 0..<64 { guard process() == .more else { break } }
    finish(.clientClosed)
  }

  /// Handles the message at the head of the second socket.
  func nextReply(on lane: MessageChannel) -> Step {
    do throws(WireError) {
      guard let header = try lane.nextHeader() else { return .incomplete }
      guard header.isReply else {
        finish(.protocolError("a command on the socket of the server's commands"))
        return .lost
      }
      consumeReply(header, on: lane)
      return end == nil ? .handled : .lost
    } catch {
      finish(.protocolError(error.context))
      return .lost
    }
  }
}
