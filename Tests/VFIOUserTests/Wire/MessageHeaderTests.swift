import Testing

@testable import VFIOUser

@Suite("Message header")
struct MessageHeaderTests {
  @Test("A command header has the bytes of the specification")
  func commandHeader() throws {
    let header = MessageHeader(messageID: 0x1234, command: .regionRead, payloadByteCount: 16)
    let golden = hex("34 12 09 00 20 00 00 00 00 00 00 00 00 00 00 00")
    let bytes = try [UInt8](byteCount: 16) { span throws(WireError) in
      try header.encode(into: &span)
    }
    #expect(bytes == golden)
    let decoded = try MessageHeader(decoding: golden.rawSpan)
    #expect(decoded == header)
    #expect(decoded.isCommand && !decoded.isReply && decoded.wantsReply)
    #expect(decoded.payloadByteCount == 16)
    #expect(decoded.failure == nil)
  }

  @Test("An error reply is a bare header with the command's identity")
  func errorReply() throws {
    let command = MessageHeader(messageID: 7, command: .dmaMap, payloadByteCount: 32)
    let reply = MessageHeader.errorReply(to: command, .fileExists)
    let bytes = try [UInt8](byteCount: 16) { span throws(WireError) in
      try reply.encode(into: &span)
    }
    #expect(bytes == hex("07 00 02 00 10 00 00 00 21 00 00 00 11 00 00 00"))
    #expect(reply.isReply && reply.failure == .fileExists)
  }

  @Test("A reply echoes identity and command and counts its payload")
  func reply() {
    let command = MessageHeader(
      messageID: 9, command: .regionRead, payloadByteCount: 16, flags: .noReply)
    let reply = MessageHeader.reply(to: command, payloadByteCount: 20)
    #expect(reply.messageID == 9 && reply.command == .regionRead && reply.byteCount == 36)
    #expect(reply.isReply && !reply.flags.contains(.noReply))
    #expect(!command.wantsReply)
  }

  @Test("An error without a usable number reads as EIO", arguments: [0, 4096, UInt32.max])
  func unusableErrorNumber(number: UInt32) {
    let header = MessageHeader(
      messageID: 0, command: .version, byteCount: 16, flags: [.reply, .error], errorNumber: number)
    #expect(header.failure == .ioError)
  }

  @Test("E17: a header that is cut or claims less than its own length is refused")
  func shortHeader() throws {
    let golden = hex("34 12 09 00 20 00 00 00 00 00 00 00 00 00 00 00")
    for count in 0..<16 {
      #expect(throws: WireError.self) {
        try MessageHeader(decoding: Array(golden.prefix(count)).rawSpan)
      }
    }
    for claimed: UInt32 in 0..<16 {
      let bytes = try patched(golden, claimed, at: 4)
      #expect(throws: WireError(.truncated, "")) { try MessageHeader(decoding: bytes.rawSpan) }
    }
  }

  @Test("A type that is neither command nor reply is neither")
  func unknownType() {
    let header = MessageHeader(
      messageID: 0, command: .version, byteCount: 16, flags: MessageFlags(rawValue: 2))
    #expect(!header.isCommand && !header.isReply)
  }

  @Test("V5: each command has its direction, unknown ones none")
  func directions() {
    #expect(Command.all.count == 17)
    #expect(Command.all.map(\.rawValue) == Array(1...13) + Array(15...18))
    for command in Command.all {
      let fromServer = command == .dmaRead || command == .dmaWrite
      #expect(command.direction == (fromServer ? .serverToClient : .clientToServer))
    }
    for number: UInt16 in [0, 14, 19, 0x8000, 0xffff] {
      #expect(Command(rawValue: number).direction == nil)
    }
    #expect(Command.dmaRead.description == "DMA_READ")
    #expect(Command(rawValue: 14).description == "command 14")
  }
}
