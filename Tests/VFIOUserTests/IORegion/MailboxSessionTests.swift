import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Mailbox: sessions") struct MailboxSessionTests {
  private static let paths: [RegionPath] = [
    .region(0, 0x80), .region(0x80, 0x80, posts: true), .region(0x100, 0x100),
    .region(0x300, 0x100, group: 1),
  ]

  @Test("I23: a mailbox is sent only where both sides have agreed on it")
  func negotiation() throws {
    var without = DeviceOptions()
    without.extensions = [.posted]
    let cases: [(PathRig, RegionIODescriptor.Kind)] = [
      (try PathRig(.epoll, Self.paths, capabilities: PathRig.capabilities([.mailbox])), .mailbox),
      (try PathRig(.epoll, Self.paths), .ioregionfd),
      (
        try PathRig(
          .epoll, Self.paths, capabilities: PathRig.capabilities([.mailbox]), options: without),
        .ioregionfd
      ),
      (try PathRig(.epoll, Self.paths, capabilities: nil), .ioregionfd),
    ]
    for (rig, kind) in cases.dropLast() {
      let answer = try rig.ask()
      #expect(answer.entries.count == 4)
      #expect(answer.entries.allSatisfy { $0.kind == kind })
      // The parts of group 0 share theirs.
      let step = kind == .mailbox ? 3 : 1
      #expect(answer.entries.map(\.descriptorIndex) == [0, 0, 0, UInt32(step)])
      #expect(answer.ports.count == 2 * step)
      #expect(answer.entries[1].flags == RegionIODescriptor.Flags.regionPostsWrites)
    }
  }

  @Test(
    "I23: where the message has no room for a mailbox an ioregionfd takes its place, then messages",
    arguments: [
      (1, [.ioregionfd, .ioregionfd, .ioregionfd]),
      (2, [.ioregionfd, .ioregionfd, .ioregionfd, .ioregionfd]),
      (3, [.mailbox, .mailbox, .mailbox]),
      (5, [.mailbox, .mailbox, .mailbox, .ioregionfd]),
      (6, [.mailbox, .mailbox, .mailbox, .mailbox]),
    ] as [(UInt64, [RegionIODescriptor.Kind])])
  func room(count: UInt64, kinds: [RegionIODescriptor.Kind]) throws {
    let rig = try PathRig(
      .epoll, Self.paths,
      capabilities: PathRig.capabilities([.mailbox], descriptors: count))
    let answer = try rig.ask()
    #expect(answer.entries.map(\.kind) == kinds)
    #expect(answer.ports.count == (count == 5 ? 4 : Int(count)))
    // The part between belongs to a handler that answers later.
    for entry in answer.entries where entry.kind == .ioregionfd && entry.offset.rawValue != 0x100 {
      #expect(try rig.read(0, 4, entry.value, on: answer.ports[Int(entry.descriptorIndex)]) == 0)
    }
  }

  /// A server on a thread of its own, and a client of it.
  private func serve(
    polling: PollingMode, offersMailbox: Bool,
    _ body: (DeviceClient, PathServer) throws -> Void
  ) throws {
    let server = try PathServer(Self.paths, polling: polling)
    defer { server.end() }
    var options = ClientOptions()
    options.offersMailbox = offersMailbox
    options.timeout = .seconds(60)
    try body(try server.connect(options), server)
  }

  @Test(
    "I22, I23: a client reaches the same registers through its mailbox and by messages",
    arguments: PollingMode.allCases)
  func endToEnd(polling: PollingMode) throws {
    try serve(polling: polling, offersMailbox: true) { client, _ in
      #expect(client.capabilities.offers(.mailbox))
      let region = try client.region(at: 0)
      let descriptors = try client.ioDescriptors(region: region)
      let entry = try #require(descriptors.entries.first)
      let port = try descriptors.makeMailboxPort(for: entry, client: client)
      for value in 0..<500 as Range<UInt64> {
        #expect(
          port.finish(.write(value, at: 8, byteCount: 8, userData: entry.value)) == .done(0))
        #expect(try region.readWord(at: RegionOffset(8), byteCount: 8) == value)
        try region.writeWord(value + 1, at: RegionOffset(16), byteCount: 4)
        #expect(
          port.finish(.read(at: 16, byteCount: 4, userData: entry.value)) == .done(value + 1))
      }
      // Entries with one index share the mailbox; the one on the other loop has its own.
      let last = try #require(descriptors.entries.last)
      let other = try descriptors.makeMailboxPort(for: last, client: client)
      #expect(other.finish(.write(7, at: 0, byteCount: 1, userData: last.value)) == .done(0))
      #expect(other.finish(.read(at: 0, byteCount: 1, userData: last.value)) == .done(7))
      #expect(port.isOpen)
    }
  }

  @Test("I15: through a mailbox no other part can be reached")
  func otherParts() throws {
    try serve(polling: .adaptive, offersMailbox: true) { client, _ in
      let descriptors = try client.ioDescriptors(region: try client.region(at: 0))
      for (userData, offset) in [(UInt64(99), UInt64(0)), (UInt64(1) << 32, 0), (0, 0x7d)] {
        let fresh = try client.ioDescriptors(region: try client.region(at: 0))
        let port = try fresh.makeMailboxPort(
          for: try #require(fresh.entries.first), client: client)
        #expect(
          port.finish(.read(at: offset, byteCount: 4, userData: userData)) == .failed(.lost))
      }
      let entry = try #require(descriptors.entries.first)
      let port = try descriptors.makeMailboxPort(for: entry, client: client)
      #expect(port.finish(.read(at: 0, byteCount: 4, userData: entry.value)) == .done(0))
    }
  }

  @Test("I23: without an agreement there is no port, whatever a server sends")
  func unasked() throws {
    try serve(polling: .never, offersMailbox: false) { client, _ in
      let descriptors = try client.ioDescriptors(region: try client.region(at: 0))
      #expect(descriptors.entries.allSatisfy { $0.kind == .ioregionfd })
      #expect(throws: Errno.notSupported) {
        try descriptors.makeMailboxPort(
          for: try #require(descriptors.entries.first), client: client)
      }
    }
    var proposal = Capabilities()
    proposal.extensions = ["posted": .bool(true)]
    var reply = proposal
    reply.extensions?["mailbox"] = .bool(true)
    #expect(throws: WireError.self) {
      try Negotiation.accept(
        reply: VersionMessage(capabilities: reply),
        proposal: VersionMessage(capabilities: proposal))
    }
  }

  @Test("I2, V12: the end of the session is the end of its mailboxes", arguments: [true, false])
  func sessionEnd(isServerSide: Bool) throws {
    try serve(polling: .never, offersMailbox: true) { client, server in
      let descriptors = try client.ioDescriptors(region: try client.region(at: 0))
      let entry = try #require(descriptors.entries.first)
      let port = try descriptors.makeMailboxPort(for: entry, client: client)
      #expect(port.finish(.read(at: 0, byteCount: 4, userData: entry.value)) == .done(0))
      if isServerSide { server.end() } else { client.close() }
      let outcome = port.finish(.read(at: 0, byteCount: 4, userData: entry.value))
      #expect(outcome == .failed(.closed) || outcome == .failed(.lost))
      #expect(!port.isOpen)
    }
  }
}

/// A `PathDevice` with a server, on a thread.
final class PathServer: @unchecked Sendable {
  private let thread: LoopThread
  private let other: LoopThread
  private var server: DeviceServer?
  private var clientEnd: OwnedDescriptor?

  init(_ paths: [RegionPath], polling: PollingMode) throws {
    thread = try LoopThread(name: "device", polling: polling)
    other = try LoopThread(name: "other", polling: polling)
    let pair = try SocketPair()
    clientEnd = try pair.first.duplicate()
    let raw = try pair.second.duplicate().release()
    try onLoop { [self] in
      let device = PathDevice(paths, other: other.loop)
      let server = DeviceServer(host: DeviceHost(device: device, loop: thread.loop))
      try server.adopt(OwnedDescriptor(adopting: raw))
      self.server = server
    }
  }

  func connect(_ options: ClientOptions) throws -> DeviceClient {
    guard let clientEnd = clientEnd.take() else { throw ClientError.closed }
    return try DeviceClient.connect(adopting: clientEnd, options: options)
  }

  private func onLoop(_ body: @escaping @Sendable () throws -> Void) throws {
    let done = try EventDescriptorBox(EventDescriptor())
    thread.loop.post {
      do { try body() } catch { Issue.record("on the loop: \(error)") }
      done.event.signal()
    }
    try #require(done.event.wait(timeout: .seconds(60)) != nil)
  }

  /// Ends the session and the threads.
  func end() {
    guard server != nil else { return }
    do {
      let done = EventDescriptorBox(try EventDescriptor())
      thread.loop.post { [self] in
        server?.stop { done.event.signal() }
      }
      #expect(done.event.wait(timeout: .seconds(60)) != nil)
    } catch { Issue.record("no eventfd: \(error)") }
    try? onLoop { [self] in server = nil }
    thread.end()
    other.end()
  }
}
