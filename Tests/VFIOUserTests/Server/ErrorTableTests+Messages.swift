import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// Faults of the framing and of the negotiation.
extension ErrorTableTests {
  private static let read = TestPeer.readPayload(0, 0, 4)

  private static func frame(
    _ command: Command = .regionRead, _ payload: [UInt8] = read,
    _ change: (inout MessageHeader) -> Void
  ) -> [UInt8] {
    var header = MessageHeader(messageID: 9, command: command, payloadByteCount: payload.count)
    change(&header)
    return TestPeer.frame(header, payload)
  }

  /// Has the device read memory of the client, and returns the server's command.
  static func startRead(_ bench: FaultBench) throws -> TestPeer.Message {
    #expect(try bench.rig.map(0x10000, 4096) == nil)
    let dma = try #require(bench.rig.device.services).dma
    dma.read(at: DMAAddress(0x10000), byteCount: 8) { _ in }
    return try #require(try bench.rig.turn())
  }

  static let messageFaults: [String: Fault] = [
    "any: message size below the 16 bytes of the header": { bench in
      for size in 0..<UInt32(MessageHeader.byteCount) {
        try bench.raw(frame { $0.byteCount = size })
      }
    },
    "any: message longer than the largest transfer": { bench in
      for size: UInt32 in [(1 << 20) + 33, 1 << 30, .max] {
        try bench.raw(frame { $0.byteCount = size })
      }
    },
    "any: type neither command nor reply": { bench in
      for type: UInt32 in 2...15 {
        try bench.raw(frame { $0.flags = MessageFlags(rawValue: type) })
      }
    },
    "any: message cut off by the end of the stream": { bench in
      let whole = frame { _ in }
      for count in 1..<whole.count {
        try bench.rig.peer.sendRaw(Array(whole.prefix(count)))
        try bench.rig.work()
        #expect(bench.rig.end == nil)
        try bench.rig.hangUp()
        #expect(bench.rig.end == .clientClosed)
        try bench.rig.reconnect()
      }
      #expect(try bench.rig.read(0, 0, 1) == [0])
    },
    "any: unknown command number": { bench in
      for number: UInt16 in [0, 14, 19, 255, 0x7fff, 0x8000, 0x8001, .max] {
        try bench.fault(Command(rawValue: number), [1, 2, 3])
      }
    },
    "any: fault in a No_reply command": { bench in
      for command in Command.all where command != .deviceReset {
        try bench.fault(command, [], flags: .noReply)
      }
      try bench.fault(.deviceReset, [1], flags: .noReply)
      try bench.fault(.regionRead, TestPeer.readPayload(99, 0, 4), flags: .noReply)
      try bench.fault(.regionWrite, TestPeer.writePayload(3, 0, [1]), flags: .noReply)
      try bench.fault(.regionWrite, TestPeer.writePayload(5, 0, [1]), flags: .noReply)
      try bench.fault(.deviceGetInfo, [], flags: .noReply, descriptors: 2)
    },
    "any: Error bit and error number in a command": { bench in
      try bench.raw(
        frame {
          $0.flags = .error
          $0.errorNumber = 5
        })
      try bench.raw(frame { $0.flags = MessageFlags(rawValue: 0xffff_ffe0) })
    },
    "any: more descriptors than max_msg_fds": { bench in
      for request in [
        SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 0, count: 8),
        SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 0, count: 17),
      ] {
        try bench.fault(request, descriptors: 17)
      }
      try bench.fault(.dmaMap, [], descriptors: 253)
    },
    "any: first command is not VERSION": { bench in
      for command in Command.all where command != .version {
        try bench.startAfresh()
        try bench.fault(command, read)
      }
      try bench.startAfresh()
      try bench.fault(Command(rawValue: 0x8000), [], descriptors: 1)
    },
    "any: reply to no command of the server": { bench in
      for command in [Command.dmaRead, .dmaWrite, .version, Command(rawValue: 99)] {
        try bench.raw(frame(command) { $0.flags = .reply })
        try bench.raw(frame(command) { $0.flags = [.reply, .error] })
      }
      let witness = try DescriptorWitness()
      try bench.raw(frame(.dmaRead) { $0.flags = .reply }, descriptors: [witness.rawValue])
      #expect(witness.isOnlyHolder())
    },
    "any: reply that names another command than it answers": { bench in
      let request = try startRead(bench)
      try bench.raw(
        frame(.dmaWrite, request.payload) {
          $0.messageID = request.header.messageID
          $0.flags = .reply
        })
    },
  ]

  private static func version(
    _ text: String, major: UInt16 = 0, terminated: Bool = true
  ) -> [UInt8] {
    version(Array(text.utf8), major: major, terminated: terminated)
  }

  private static func version(
    _ text: [UInt8], major: UInt16 = 0, terminated: Bool = true
  ) -> [UInt8] {
    [UInt8(major & 255), UInt8(major >> 8), 1, 0] + text + (terminated ? [0] : [])
  }

  private static func refusedVersions(_ payloads: [[UInt8]]) -> Fault {
    { bench in
      for payload in payloads {
        try bench.startAfresh()
        try bench.fault(.version, payload)
      }
    }
  }

  private static func refusedCapabilities(_ capabilities: [String]) -> Fault {
    refusedVersions(capabilities.map { version(#"{"capabilities":\#($0)}"#) })
  }

  static let versionFaults: [String: Fault] = [
    "VERSION: sent twice": { bench in
      try bench.fault(VersionMessage(capabilities: nil))
      try bench.fault(VersionMessage(major: 9, capabilities: nil))
      try bench.fault(.version, [])
    },
    "VERSION: truncated": { bench in
      try bench.startAfresh()
      try bench.truncated(.version, [0, 0, 0, 0])
    },
    "VERSION: unknown major version": refusedVersions([
      version("{}", major: 1), version([], major: 0xffff, terminated: false),
    ]),
    "VERSION: text without NUL": refusedVersions(
      [
        version("{}", terminated: false), version("{}\0 "),
      ].map { $0.last == 0 ? Array($0.dropLast()) : $0 }),
    "VERSION: text is no JSON object": refusedVersions(
      ["", " ", "[]", "3", "\"\"", "null", "{", "{\"a\":}", "{}{}", "{\"a\":1,\"a\":2}", "{}\0"]
        .map { version($0) }),
    "VERSION: text is not UTF-8": refusedVersions([
      version(Array("{\"".utf8) + [0xff] + Array("\":1}".utf8)),
      version(Array("{\"a\":\"".utf8) + [0xc0, 0x80] + Array("\"}".utf8)),
    ]),
    "VERSION: text nested too deeply": refusedVersions([
      version(
        "{\"a\":" + String(repeating: "[", count: 40000) + String(repeating: "]", count: 20000)
          + "}"),
      version(
        "{\"a\":" + String(repeating: "[", count: 17) + String(repeating: "]", count: 17) + "}"),
    ]),
    "VERSION: text longer than 64 KiB": refusedVersions([
      version("{\"a\":\"" + String(repeating: "x", count: 65536) + "\"}")
    ]),
    "VERSION: capability of a wrong type": refusedCapabilities([
      "[]", "1", "{\"max_msg_fds\":\"8\"}", "{\"max_msg_fds\":-1}", "{\"max_msg_fds\":1.5}",
      "{\"max_data_xfer_size\":{}}", "{\"max_dma_maps\":true}", "{\"pgsizes\":null}",
      "{\"write_multiple\":1}", "{\"twin_socket\":true}", "{\"twin_socket\":{\"supported\":1}}",
      "{\"migration\":[]}", "{\"migration\":{\"pgsize\":\"x\"}}",
    ]),
    "VERSION: capability without use": refusedCapabilities([
      "{\"max_data_xfer_size\":0}", "{\"pgsizes\":0}", "{\"migration\":{\"pgsize\":0}}",
      "{\"migration\":{\"pgsize\":4097}}",
    ]),
    "VERSION: no common page size": refusedCapabilities(["{\"pgsizes\":65536}"]),
    "VERSION: descriptors": { bench in
      for count in [1, 3, 17] {
        try bench.startAfresh()
        try bench.fault(VersionMessage(capabilities: nil), descriptors: count)
      }
    },
  ]
}
