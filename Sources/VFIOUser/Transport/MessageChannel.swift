import CVFIOUserLinux

/// One socket and its messages: received whole with their descriptors, sent without blocking.
///
/// Bytes are received into a buffer that the channel owns and are decoded in place. A message that
/// is being handled stays where it is, even when more is received meanwhile, until `release`.
///
/// One recvmsg may return several messages, or a part of one, and it stops after descriptors: those
/// belong to the message that holds the last byte received with them.
///
/// Threads: confined to its owner's.
@safe
final class MessageChannel {
  /// What `receive` found.
  enum Reception: Equatable {
    case received
    /// Nothing is there now.
    case empty
    /// The peer has closed its end.
    case ended
    case failed(Errno)
  }

  let socket: OwnedDescriptor
  /// The longest message that the peer may send, header included. A longer one loses the framing.
  var maximumMessageByteCount: Int

  // Received bytes lie in `storage[head..<tail]`.
  private var storage: UnsafeMutableRawPointer
  private var capacity: Int
  private var head = 0
  private var tail = 0
  /// Buffers that were outgrown while a message in them was being handled.
  private var retired: [UnsafeMutableRawPointer]
  private var pinCount = 0
  /// How many bytes of the stream came before `storage[head]`.
  private var streamPosition: UInt64 = 0
  private var batches: [DescriptorBatch] = []
  private let descriptorScratch: UnsafeMutablePointer<CInt>

  private var outgoing: UnsafeMutableRawPointer
  private var outgoingCapacity: Int
  var backlog = SendBacklog()

  private struct DescriptorBatch {
    var lastByte: UInt64
    var descriptors: [CInt]
    var isTruncated: Bool
  }

  private static let initialCapacity = 16 * 1024
  private static let alignment = 64

  /// Takes over a connected stream socket.
  init(adopting socket: consuming OwnedDescriptor, maximumMessageByteCount: Int) throws(Errno) {
    _ = try Errno.checkShim(cvfu_set_nonblocking(socket.rawValue, true))
    self.socket = socket
    self.maximumMessageByteCount = maximumMessageByteCount
    capacity = Self.initialCapacity
    outgoingCapacity = 4096
    // Safety: owned buffers, released by deinit or when they are outgrown.
    unsafe storage = .allocate(byteCount: Self.initialCapacity, alignment: Self.alignment)
    unsafe outgoing = .allocate(byteCount: 4096, alignment: Self.alignment)
    unsafe retired = []
    unsafe descriptorScratch = .allocate(capacity: Int(CVFU_MAX_DESCRIPTORS))
  }

  deinit {
    for batch in batches { _ = ReceivedDescriptors(adopting: batch.descriptors) }
    // Safety: nobody else has the pointers.
    unsafe storage.deallocate()
    unsafe outgoing.deallocate()
    unsafe descriptorScratch.deallocate()
    unsafe retired.forEach { unsafe $0.deallocate() }
  }

  // MARK: Receiving

  /// Lets `receive(isWaiting: true)` block in the system call itself, for at most `timeout`.
  func enableBlockingReceive(timeout: Duration) throws(Errno) {
    // Zero would mean no bound at all.
    let microseconds = max(1000, timeout.clampedNanoseconds / 1000)
    var time = timeval(
      tv_sec: Int(microseconds / 1_000_000), tv_usec: Int(microseconds % 1_000_000))
    // Safety: a local variable, for the time of the call.
    _ = try Errno.check(
      unsafe setsockopt(
        socket.rawValue, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size)))
    _ = try Errno.checkShim(cvfu_set_nonblocking(socket.rawValue, false))
  }

  /// Receives what is there, without blocking unless it `isWaiting`: then for the time that
  /// `enableBlockingReceive` set, after which it finds the socket empty.
  func receive(isWaiting: Bool = false) -> Reception {
    makeRoom()
    var count = 0
    var isTruncated = false
    // Safety: the kernel writes at most the room behind `tail` and the scratch's whole length.
    let received = unsafe cvfu_receive(
      socket.rawValue, storage + tail, capacity - tail, descriptorScratch, &count, &isTruncated,
      isWaiting)
    if received < 0 {
      let error = Errno(rawValue: CInt(truncatingIfNeeded: 0 - received))
      return error == .resourceTemporarilyUnavailable ? .empty : .failed(error)
    }
    if received == 0 { return .ended }
    tail += received
    if count > 0 || isTruncated {
      // Safety: the shim filled the first `count` entries.
      let descriptors = (0..<count).map { unsafe descriptorScratch[$0] }
      batches.append(
        DescriptorBatch(
          lastByte: streamPosition + UInt64(tail - head) - 1, descriptors: descriptors,
          isTruncated: isTruncated))
    }
    return .received
  }

  /// The header of the next message when the whole message is here; nil when bytes are missing.
  ///
  /// - Throws: when the header makes no sense or the message is too long: the framing is lost.
  @inline(__always)
  func nextHeader() throws(WireError) -> MessageHeader? {
    guard tail - head >= MessageHeader.byteCount else { return nil }
    // Safety: the bytes lie between `head` and `tail`, and the span does not leave this function.
    let header = try MessageHeader(
      decoding: unsafe RawSpan(
        _unsafeStart: storage + head, byteCount: MessageHeader.byteCount))
    guard Int(header.byteCount) <= maximumMessageByteCount else {
      throw WireError(.oversized, "the message is longer than the limit")
    }
    return tail - head >= Int(header.byteCount) ? header : nil
  }

  /// Takes the message that `nextHeader` announced out of the stream and hands its payload to `body`.
  ///
  /// The payload stays where it is while `body` runs, even if that receives more.
  @inline(__always)
  func take(_ header: MessageHeader, _ body: (RawSpan) -> Void) {
    let start = head + MessageHeader.byteCount
    head += Int(header.byteCount)
    streamPosition += UInt64(header.byteCount)
    pinCount += 1
    // Safety: the bytes lie before `tail`, and `pinCount` keeps them in place until `release`.
    body(
      unsafe RawSpan(
        _unsafeStart: storage + start, byteCount: Int(header.byteCount) - MessageHeader.byteCount))
    release()
  }

  @inline(__always)
  private func release() {
    pinCount -= 1
    guard pinCount == 0 else { return }
    if head == tail {
      head = 0
      tail = 0
    }
    // Safety: no span into them is left.
    if unsafe !retired.isEmpty {
      unsafe retired.forEach { unsafe $0.deallocate() }
      unsafe retired.removeAll()
    }
  }

  /// The descriptors of the message that was taken last.
  @inline(__always)
  func takeDescriptors() -> ReceivedDescriptors {
    guard !batches.isEmpty else { return ReceivedDescriptors() }
    return takeBatches()
  }

  /// Whether descriptors came with the message that `nextHeader` announced.
  func hasDescriptors(for header: MessageHeader) -> Bool {
    guard let first = batches.first else { return false }
    return first.lastByte < streamPosition + UInt64(header.byteCount)
  }

  private func takeBatches() -> ReceivedDescriptors {
    var found = ReceivedDescriptors()
    while let batch = batches.first, batch.lastByte < streamPosition {
      found.append(adopting: batch.descriptors)
      found.areComplete = found.areComplete && !batch.isTruncated
      batches.removeFirst()
    }
    return found
  }

  /// Whether bytes of a message wait in the buffer.
  var hasBufferedBytes: Bool { tail > head }

  /// Room for the rest of the message at `head`, or for some messages where none has begun.
  private func makeRoom() {
    var wanted = MessageHeader.byteCount
    if tail - head >= MessageHeader.byteCount {
      // Safety: as in `nextHeader`.
      let bytes = unsafe RawSpan(_unsafeStart: storage + head, byteCount: MessageHeader.byteCount)
      if let header = try? MessageHeader(decoding: bytes) {
        wanted = min(Int(header.byteCount), maximumMessageByteCount)
      }
    }
    wanted = max(wanted, tail - head + 1)
    if capacity - head >= wanted, capacity - tail >= 1024 || capacity - tail >= wanted { return }
    if pinCount == 0, capacity >= wanted, head > 0 {
      // Safety: both ranges lie in the buffer; the move allows them to overlap.
      unsafe storage.copyMemory(from: storage + head, byteCount: tail - head)
      tail -= head
      head = 0
      if capacity - tail >= 1024 || capacity >= wanted { return }
    }
    let larger = max(wanted, Self.initialCapacity)
    // Safety: a new buffer that takes over the bytes; the old one stays while a payload is in use.
    let fresh = UnsafeMutableRawPointer.allocate(
      byteCount: larger, alignment: Self.alignment)
    unsafe fresh.copyMemory(from: storage + head, byteCount: tail - head)
    if pinCount > 0 { unsafe retired.append(storage) } else { unsafe storage.deallocate() }
    unsafe storage = fresh
    capacity = larger
    tail -= head
    head = 0
  }

  /// Ends the stream in both directions; bytes that the peer has not read yet stay readable for it.
  func shutDown() { _ = shutdown(socket.rawValue, CInt(SHUT_RDWR)) }

  // MARK: Sending

  /// Builds `byteCount` bytes in the channel's own buffer. Send them with `sendBuilt`.
  @inline(__always)
  func build<Failure: Error>(
    _ byteCount: Int, _ body: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    if byteCount > outgoingCapacity { growOutgoing(byteCount) }
    // Safety: the buffer is this long, and nothing else uses it until `sendBuilt`.
    var span = unsafe MutableRawSpan(_unsafeStart: outgoing, byteCount: byteCount)
    try body(&span)
  }

  private func growOutgoing(_ byteCount: Int) {
    // Safety: nothing is being built, so nobody holds the old buffer.
    unsafe outgoing.deallocate()
    unsafe outgoing = .allocate(byteCount: byteCount, alignment: Self.alignment)
    outgoingCapacity = byteCount
  }

  /// Sends the first `byteCount` bytes of what was built.
  @inline(__always)
  func sendBuilt(_ byteCount: Int, descriptors: [CInt] = []) throws(Errno) {
    // Safety: as for `build`.
    try send(unsafe RawSpan(_unsafeStart: outgoing, byteCount: byteCount), descriptors)
  }

  /// Sends a message now, or what the socket does not take as soon as it takes more.
  ///
  /// - Parameter descriptors: lent for the call.
  @inline(__always)
  func send(_ bytes: RawSpan, _ descriptors: [CInt] = []) throws(Errno) {
    var sent = 0
    if backlog.isEmpty {
      sent = try transmit(bytes, descriptors)
      if sent == bytes.byteCount { return }
    }
    try backlog.append(bytes.extracting(sent..<bytes.byteCount), sent == 0 ? descriptors : [])
  }

  /// Sends what waits. Returns whether everything is gone.
  func flush() throws(Errno) -> Bool {
    while let first = backlog.first {
      let sent = try transmit(
        first.bytes.rawSpan.extracting(first.sent..<first.bytes.count), first.rawDescriptors)
      guard sent > 0 else { return false }
      backlog.advance(by: sent)
    }
    return true
  }

  /// Sends what waits, or drops it where the peer has hung up: what that has left behind can still be
  /// received, and the end of the stream follows it.
  func flushOrDrop() throws(Errno) {
    do throws(Errno) { _ = try flush() } catch {
      guard error.isHangup else { throw error }
      backlog.removeAll()
    }
  }

  private func transmit(_ bytes: RawSpan, _ descriptors: [CInt]) throws(Errno) -> Int {
    // Safety: the kernel reads the span and the array for the time of the call.
    let sent = unsafe bytes.withUnsafeBytes { buffer in
      unsafe descriptors.withUnsafeBufferPointer { list in
        unsafe cvfu_send(
          socket.rawValue, buffer.baseAddress, buffer.count, list.baseAddress, list.count)
      }
    }
    if sent >= 0 { return sent }
    let error = Errno(rawValue: CInt(truncatingIfNeeded: 0 - sent))
    guard error == .resourceTemporarilyUnavailable else { throw error }
    return 0
  }

  /// Blocks until the socket has something to read, or room for what waits to be sent.
  ///
  /// - Returns: false when the time is over.
  func wait(until deadline: MonotonicTime) -> Bool {
    var events = Int16(POLLIN)
    if !backlog.isEmpty { events |= Int16(POLLOUT) }
    var state = pollfd(fd: socket.rawValue, events: events, revents: 0)
    // Safety: one element, for the time of the call.
    let result = unsafe poll(&state, 1, deadline.remainingMilliseconds)
    return result != 0
  }

  /// Blocks until one of several sockets has something to read that is wanted, or room for what
  /// waits to be sent.
  ///
  /// - Returns: false when the time is over.
  static func wait(
    for channels: [(channel: MessageChannel, wantsInput: Bool)], until deadline: MonotonicTime
  ) -> Bool {
    var states = channels.map { channel, wantsInput in
      var events: Int16 = wantsInput ? Int16(POLLIN) : 0
      if !channel.backlog.isEmpty { events |= Int16(POLLOUT) }
      // The kernel skips a negative descriptor, and with it the hangup that nobody asked for.
      return pollfd(fd: events == 0 ? -1 : channel.socket.rawValue, events: events, revents: 0)
    }
    // Safety: the array's own length, for the time of the call.
    let result = unsafe states.withUnsafeMutableBufferPointer { list in
      unsafe poll(list.baseAddress, nfds_t(list.count), deadline.remainingMilliseconds)
    }
    return result != 0
  }

  /// Whether the peer has closed its end, even if it left messages behind.
  var hasPeerHungUp: Bool {
    var state = pollfd(fd: socket.rawValue, events: 0x2000 /* POLLRDHUP */, revents: 0)
    // Safety: one element, for the time of the call.
    return unsafe poll(&state, 1, 0) > 0
  }
}
