import Testing

@testable import VFIOUser

@Suite("Version negotiation")
struct NegotiationTests {
  static let qemu =
    #"{"capabilities":{"migration":{"pgsize":4096,"max_bitmap_size":268435456},"max_msg_fds":16,"#
    + #""max_data_xfer_size":1048576,"pgsizes":4096,"max_dma_maps":65535,"write_multiple":true}}"#

  static func message(
    _ text: String?, major: UInt16 = 0, minor: UInt16 = 0
  ) throws -> VersionMessage {
    var bytes = [UInt8](repeating: 0, count: 4)
    bytes = try patched(bytes, UInt32(major) | UInt32(minor) << 16, at: 0)
    if let text { bytes += Array(text.utf8) + [0] }
    return try decode(bytes)
  }

  static var server: Capabilities {
    var capabilities = Capabilities()
    capabilities.maximumMessageDescriptorCount = 64
    capabilities.maximumTransferByteCount = 1 << 20
    capabilities.maximumDMAMapCount = 65535
    capabilities.pageSizes = 4096
    capabilities.supportsWriteMultiple = true
    capabilities.twinSocket = .init(isSupported: true)
    capabilities.extensions = ["mailbox": .bool(true)]
    return capabilities
  }

  @Test("VERSION has the bytes of the specification")
  func golden() throws {
    try expectGolden(VersionMessage(major: 0, minor: 1, capabilities: nil), hex("0000 0100"))
    var capabilities = Capabilities()
    capabilities.maximumMessageDescriptorCount = 8
    capabilities.twinSocket = .init(isSupported: true, descriptorIndex: 0)
    try expectGolden(
      VersionMessage(capabilities: capabilities),
      hex("0000 0100")
        + Array(
          (#"{"capabilities":{"max_msg_fds":8,"twin_socket":{"fd_index":0,"supported":true}}}"#
            + "\0").utf8))
    try expectGolden(VersionMessage(capabilities: Capabilities()), hex("0000 0100 7b7d00"))
  }

  @Test("Every capability of QEMU's proposal is read")
  func qemuProposal() throws {
    let capabilities = try #require(try Self.message(Self.qemu).capabilities)
    #expect(capabilities.maximumMessageDescriptorCount == 16)
    #expect(capabilities.effectiveTransferByteCount == 1 << 20)
    #expect(capabilities.effectivePageSizes == 4096)
    #expect(capabilities.effectiveDMAMapCount == 65535)
    #expect(capabilities.supportsWriteMultiple == true)
    #expect(capabilities.twinSocket == nil)
    #expect(capabilities.migration == .init())
  }

  @Test("The reply to QEMU has only what it proposed, within its limits, and is no longer")
  func replyToQEMU() throws {
    let request = try Self.message(Self.qemu)
    let reply = try Negotiation.serverReply(to: request, offering: Self.server)
    #expect(reply.major == 0 && reply.minor == 0)
    #expect(reply.encodedByteCount <= 4 + Self.qemu.utf8.count + 1)
    let capabilities = try #require(reply.capabilities)
    #expect(capabilities.maximumMessageDescriptorCount == 16)
    #expect(capabilities.twinSocket == nil && capabilities.extensions == nil)
    #expect(capabilities.migration == nil && capabilities.supportsWriteMultiple == true)
    #expect(try Negotiation.accept(reply: reply, proposal: request).effectivePageSizes == 4096)
  }

  @Test("A proposal without text, as SPDK sends it, gets a reply without text")
  func replyWithoutText() throws {
    let reply = try Negotiation.serverReply(
      to: try Self.message(nil, minor: 1), offering: Self.server)
    #expect(reply.encodedPayload() == hex("0000 0100"))
  }

  @Test("A minor version above ours is lowered, another major is refused")
  func versions() throws {
    let reply = try Negotiation.serverReply(
      to: try Self.message(nil, minor: 9), offering: Self.server)
    #expect(reply.minor == VersionMessage.supportedMinor)
    #expect(throws: WireError(.badVersion, "")) {
      try Negotiation.serverReply(to: try Self.message(nil, major: 1), offering: Self.server)
    }
  }

  @Test(
    "A reply is never longer than the proposal",
    arguments: [
      "{}", #"{"capabilities":{}}"#, #"{"capabilities":{"max_msg_fds":1}}"#,
      #"{"capabilities":{"twin_socket":{"supported":true}}}"#,
      #"{"capabilities":{"swift_vfio_user":{"mailbox":0}}}"#,
      #"{"capabilities":{"max_msg_fds":9,"pgsizes":4096,"max_dma_maps":1,"max_data_xfer_size":1}}"#,
      #"{"capabilities":{"migration":{}}}"#, #"{"capabilities":{"migration":{},"pgsizes":4096}}"#,
    ])
  func replyLength(text: String) throws {
    var server = Self.server
    server.migration = .init()
    let request = try Self.message(text)
    let reply = try Negotiation.serverReply(to: request, offering: server)
    #expect(reply.encodedByteCount <= 5 + text.utf8.count)
    #expect(reply.capabilities != nil)
    _ = try Negotiation.accept(reply: reply, proposal: request)
  }

  @Test("Where room is short, values that equal the defaults go first")
  func defaultsGoFirst() throws {
    // Proposed too tersely for the reply, which adds the index of the descriptor.
    let request = try Self.message(
      #"{"capabilities":{"twin_socket":{"supported":true},"pgsizes":4096}}"#)
    let reply = try Negotiation.serverReply(to: request, offering: Self.server)
    #expect(reply.capabilities?.pageSizes == nil)
    #expect(reply.capabilities?.twinSocket == .init(isSupported: true, descriptorIndex: 0))
  }

  @Test("Limits are the smaller ones, page sizes the common ones")
  func limits() throws {
    let request = try Self.message(
      #"{"capabilities":{"max_msg_fds":200,"max_data_xfer_size":4096,"pgsizes":2101248}}"#)
    let reply = try #require(
      try Negotiation.serverReply(to: request, offering: Self.server).capabilities)
    #expect(reply.maximumMessageDescriptorCount == 64)
    #expect(reply.maximumTransferByteCount == 4096)
    #expect(reply.pageSizes == 4096)
    #expect(throws: WireError(.badCapability, "")) {
      try Negotiation.serverReply(
        to: try Self.message(#"{"capabilities":{"pgsizes":2097152}}"#), offering: Self.server)
    }
  }

  @Test("Unknown names are ignored, extensions are granted by name")
  func unknownNames() throws {
    let request = try Self.message(
      #"{"x":[],"capabilities":{"y":{},"swift_vfio_user":{"mailbox":true,"other":1}}}"#)
    let reply = try Negotiation.serverReply(to: request, offering: Self.server)
    #expect(reply.capabilities?.extensions == ["mailbox": .bool(true)])
    #expect(reply.encodedByteCount <= request.receivedByteCount ?? 0)
  }

  @Test(
    "E17: a malformed proposal is refused",
    arguments: [
      "", "[]", "1", #"{"capabilities":1}"#, #"{"capabilities":{"max_msg_fds":"1"}}"#,
      #"{"capabilities":{"max_msg_fds":-1}}"#, #"{"capabilities":{"max_msg_fds":1.5}}"#,
      #"{"capabilities":{"max_data_xfer_size":0}}"#, #"{"capabilities":{"pgsizes":0}}"#,
      #"{"capabilities":{"write_multiple":1}}"#, #"{"capabilities":{"twin_socket":true}}"#,
      #"{"capabilities":{"twin_socket":{"supported":1}}}"#, #"{"capabilities":{"migration":[]}}"#,
      #"{"capabilities":{"migration":{"pgsize":0}}}"#, #"{"capabilities":{"swift_vfio_user":1}}"#,
      "{}\u{0}", #"{"capabilities":{"max_dma_maps":18446744073709551616}}"#,
    ])
  func malformed(text: String) {
    #expect(throws: WireError.self) { try Self.message(text) }
  }

  @Test("E17: a proposal that is cut or has no NUL is refused")
  func truncated() throws {
    let bytes: [UInt8] = [0, 0, 0, 0] + Array(Self.qemu.utf8)
    for count in 0...bytes.count where count != 4 {
      #expect(fault(Array(bytes.prefix(count)), as: VersionMessage.self) != nil)
    }
    let long = bytes + [UInt8](repeating: 0x20, count: 70_000) + [0]
    #expect(fault(long, as: VersionMessage.self) == .oversized)
  }

  @Test("E16: a client refuses what it did not propose")
  func hostileReplies() throws {
    let plain = try Self.message(#"{"capabilities":{"max_msg_fds":8}}"#)
    for text in [
      #"{"capabilities":{"write_multiple":true}}"#, #"{"capabilities":{"migration":{}}}"#,
      #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#,
      #"{"capabilities":{"swift_vfio_user":{}}}"#, #"{"capabilities":{"pgsizes":8192}}"#,
    ] {
      #expect(throws: WireError(.badCapability, "")) {
        try Negotiation.accept(reply: try Self.message(text), proposal: plain)
      }
    }
    #expect(throws: WireError(.badVersion, "")) {
      try Negotiation.accept(reply: try Self.message(nil, major: 1), proposal: plain)
    }
    #expect(throws: WireError(.badVersion, "")) {
      try Negotiation.accept(reply: try Self.message(nil, minor: 1), proposal: plain)
    }
    #expect(throws: WireError(.badCapability, "")) {
      try Negotiation.accept(reply: plain, proposal: try Self.message(nil))
    }
    let twin = try Self.message(#"{"capabilities":{"twin_socket":{"supported":true}}}"#)
    #expect(throws: WireError(.badCapability, "")) {
      try Negotiation.accept(reply: twin, proposal: twin)
    }
  }

  @Test("A client lowers the server's limits to its own and fills in defaults")
  func acceptedLimits() throws {
    let proposal = try Self.message(#"{"capabilities":{"max_msg_fds":8,"write_multiple":true}}"#)
    let reply = try Self.message(
      #"{"capabilities":{"max_msg_fds":1000,"max_data_xfer_size":512,"write_multiple":true}}"#)
    let agreed = try Negotiation.accept(reply: reply, proposal: proposal)
    #expect(agreed.maximumMessageDescriptorCount == 8)
    #expect(agreed.maximumTransferByteCount == 512)
    #expect(agreed.maximumDMAMapCount == 65535)
    #expect(agreed.supportsWriteMultiple == true)
    let bare = try Negotiation.accept(reply: try Self.message(nil), proposal: proposal)
    #expect(bare.maximumMessageDescriptorCount == 1)
    #expect(bare.supportsWriteMultiple == nil)
  }
}
