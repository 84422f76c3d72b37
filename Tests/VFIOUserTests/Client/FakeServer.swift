import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// A server that follows a script on a thread of its own and can say anything.
final class FakeServer {
  /// The server's end, for the script.
  final class End {
    let peer: TestPeer
    private let socket: CInt

    init(adopting socket: consuming OwnedDescriptor) throws {
      self.socket = socket.rawValue
      peer = try TestPeer(adopting: socket)
    }

    /// The next message, or nil when none comes for long or the client is gone.
    func next(timeout: Duration = .seconds(60)) throws -> TestPeer.Message? {
      let deadline = MonotonicTime.now.advanced(by: timeout)
      while true {
        if let message = try peer.receive() { return message }
        _ = try peer.channel.flush()
        if peer.isAtEnd || !peer.channel.wait(until: deadline) { return nil }
      }
    }

    /// The next message, which must be this command.
    func expect(_ command: Command) throws -> TestPeer.Message {
      let message = try #require(try next(), "no \(command) came")
      #expect(message.header.command == command)
      return message
    }

    func reply(
      to message: TestPeer.Message, _ payload: [UInt8] = [], descriptors: [CInt] = []
    ) throws {
      let header = MessageHeader.reply(to: message.header, payloadByteCount: payload.count)
      try peer.sendRaw(TestPeer.frame(header, payload), descriptors: descriptors)
      while try !peer.channel.flush() {}
    }

    func refuse(_ message: TestPeer.Message, _ errno: Errno) throws {
      try peer.sendRaw(TestPeer.frame(.errorReply(to: message.header, errno), []))
    }

    /// Answers the two commands that every client begins with.
    func greet(_ info: DeviceInfo = FakeServer.info, capabilities: Capabilities? = nil) throws {
      try greet(answering: try expect(.version), info, capabilities: capabilities)
    }

    /// Answers the first command, and the second.
    func greet(
      answering version: TestPeer.Message, _ info: DeviceInfo = FakeServer.info,
      capabilities: Capabilities? = nil
    ) throws {
      let request = try VersionMessage(decoding: version.payload.rawSpan)
      let answer = try Negotiation.serverReply(
        to: request, offering: capabilities ?? FakeServer.capabilities)
      try reply(to: version, answer.encodedPayload())
      try reply(to: try expect(.deviceGetInfo), info.encodedPayload())
    }

    /// Ends the stream while the script goes on.
    func hangUp() {
      _ = shutdown(socket, CInt(SHUT_RDWR))
    }
  }

  static let info = DeviceInfo(flags: [.reset], regionCount: 2, interruptTypeCount: 5)

  static var capabilities: Capabilities {
    var capabilities = Capabilities()
    capabilities.maximumMessageDescriptorCount = 8
    capabilities.maximumTransferByteCount = 1 << 20
    capabilities.maximumDMAMapCount = 65535
    capabilities.pageSizes = 4096
    capabilities.supportsWriteMultiple = true
    capabilities.twinSocket = .init(isSupported: true)
    return capabilities
  }

  private let thread: TestThread
  private var clientEnd: OwnedDescriptor?

  init(_ script: @escaping @Sendable (End) throws -> Void) throws {
    let pair = try SocketPair()
    let server = try pair.second.duplicate().release()
    clientEnd = try pair.first.duplicate()
    thread = TestThread {
      do {
        try script(try End(adopting: OwnedDescriptor(adopting: server)))
      } catch {
        Issue.record("the script failed: \(error)")
      }
    }
  }

  /// Connects a client; see `DeviceClient.limitWaits` for tests of silence.
  func connect(
    timeout: Duration = .seconds(60), _ configure: (inout ClientOptions) -> Void = { _ in }
  ) throws -> DeviceClient {
    var options = ClientOptions()
    options.timeout = timeout
    configure(&options)
    guard let socket = clientEnd.take() else { throw ClientError.closed }
    return try DeviceClient.connect(adopting: socket, options: options)
  }

  func join() { thread.join() }

  /// A reply to a region read.
  static func readReply(_ message: TestPeer.Message, _ data: [UInt8]) -> [UInt8] {
    Array(message.payload.prefix(12))
      + [UInt8(data.count & 0xff), UInt8(data.count >> 8), 0, 0] + data
  }
}

extension TestPeer {
  /// Whether the other side has closed the stream and nothing is left to read.
  var isAtEnd: Bool { channel.hasPeerHungUp && channel.receive() == .ended }
}

extension DeviceClient {
  /// Has each wait from now on end after `timeout`: the greeting took as long as the machine needs.
  ///
  /// To be called while nobody else uses the client.
  func limitWaits(to timeout: Duration) {
    options.timeout = timeout
    do { try channel.enableBlockingReceive(timeout: timeout) } catch { Issue.record("\(error)") }
  }
}

/// The error that a closure throws.
func clientError(_ body: () throws -> Void) -> ClientError? {
  do {
    try body()
    return nil
  } catch {
    return error as? ClientError
  }
}

/// Answers region information: region 0 has 4096 bytes of messages, 1 does not exist.
extension FakeServer.End {
  func answerRegionInfo(_ info: RegionInfo, descriptors: [CInt] = []) throws {
    let message = try expect(.deviceGetRegionInfo)
    let request = try RegionInfoRequest(decoding: message.payload.rawSpan)
    let payload = [UInt8](byteCount: info.encodedByteCount(limit: request.argumentSize)) { bytes in
      try? info.encode(into: &bytes, at: 0, limit: request.argumentSize)
    }
    try reply(to: message, payload, descriptors: descriptors)
    if info.encodedByteCount > Int(request.argumentSize) {
      try answerRegionInfo(info, descriptors: descriptors)
    }
  }

  func answerPlainRegion() throws {
    try answerRegionInfo(RegionInfo(index: 0, flags: [.read, .write], byteCount: 4096))
  }
}
