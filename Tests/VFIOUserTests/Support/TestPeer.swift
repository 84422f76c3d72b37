import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// The other end of a session's socket, byte by byte: it can say anything.
final class TestPeer {
  struct Message {
    var header: MessageHeader
    var payload: [UInt8]
    var descriptors: [CInt]
  }

  let channel: MessageChannel
  private var nextID: UInt16 = 100

  init(adopting socket: consuming OwnedDescriptor) throws {
    channel = try MessageChannel(adopting: socket, maximumMessageByteCount: 16 << 20)
  }

  /// Sends one message with a number of its own, which is returned.
  @discardableResult
  func send(
    _ command: Command, _ payload: [UInt8] = [], flags: MessageFlags = [],
    descriptors: [CInt] = []
  ) throws -> UInt16 {
    nextID &+= 1
    let header = MessageHeader(
      messageID: nextID, command: command, payloadByteCount: payload.count, flags: flags)
    try sendRaw(Self.frame(header, payload), descriptors: descriptors)
    return nextID
  }

  @discardableResult
  func send(
    _ message: some WireMessage, flags: MessageFlags = [], descriptors: [CInt] = []
  ) throws -> UInt16 {
    try send(
      type(of: message).command, message.encodedPayload(), flags: flags, descriptors: descriptors)
  }

  func sendRaw(_ bytes: [UInt8], descriptors: [CInt] = []) throws {
    try channel.send(bytes.rawSpan, descriptors)
  }

  static func frame(_ header: MessageHeader, _ payload: [UInt8]) -> [UInt8] {
    [UInt8](byteCount: MessageHeader.byteCount + payload.count) { bytes in
      try? header.encode(into: &bytes)
      try? bytes.store(bytes: payload.rawSpan, at: MessageHeader.byteCount)
    }
  }

  /// The next message that has arrived, or nil.
  func receive() throws -> Message? {
    while true {
      if let header = try channel.nextHeader() {
        var message = Message(header: header, payload: [], descriptors: [])
        channel.take(header) { payload in
          message.payload = [UInt8](copying: payload)
          var descriptors = channel.takeDescriptors()
          for index in 0..<descriptors.count {
            if let one = descriptors.take(at: index) { message.descriptors.append(one.release()) }
          }
        }
        return message
      }
      guard channel.receive() == .received else { return nil }
    }
  }

  /// Whether the other side has closed the connection.
  var isClosed: Bool {
    while true {
      switch channel.receive() {
      case .received: continue
      case .empty: return false
      case .ended, .failed: return true
      }
    }
  }

  static func readPayload(_ region: UInt32, _ offset: UInt64, _ count: UInt32) -> [UInt8] {
    accessPayload(region, offset, count)
  }

  static func writePayload(_ region: UInt32, _ offset: UInt64, _ data: [UInt8]) -> [UInt8] {
    accessPayload(region, offset, UInt32(data.count)) + data
  }

  private static func accessPayload(
    _ region: UInt32, _ offset: UInt64, _ count: UInt32
  ) -> [UInt8] {
    [UInt8](byteCount: RegionAccess.fixedByteCount) { bytes in
      try? RegionAccess(offset: RegionOffset(offset), region: region, count: count)
        .encode(into: &bytes, at: 0)
    }
  }
}
