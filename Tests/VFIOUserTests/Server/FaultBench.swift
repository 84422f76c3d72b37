import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// Commits faults and checks what comes of them: the answer, that the server goes on serving, and
/// that descriptors are closed.
final class FaultBench {
  let rig: TestRig
  let answer: ErrorTable.Answer
  /// Whether the connection has not sent its VERSION yet.
  private var isFresh = false

  init(
    _ answer: ErrorTable.Answer, options: DeviceOptions = DeviceOptions(),
    flags: DeviceFlags = .reset, remoteLoop: EventLoop? = nil
  ) throws {
    rig = try TestRig(options: options, remoteLoop: remoteLoop, flags: flags)
    self.answer = answer
  }

  /// A connection that has not negotiated.
  func startAfresh() throws {
    try rig.hangUp()
    try rig.reconnect(negotiate: false)
    isFresh = true
  }

  /// Sends a faulty command.
  func fault(
    _ command: Command, _ payload: [UInt8] = [], flags: MessageFlags = [],
    descriptors count: Int = 0, location: SourceLocation = #_sourceLocation
  ) throws {
    let witnesses = try (0..<count).map { _ in try DescriptorWitness() }
    try fault(
      command, payload, flags: flags, sending: witnesses.map(\.rawValue), location: location)
    for witness in witnesses { #expect(witness.isOnlyHolder(), sourceLocation: location) }
  }

  /// Sends a faulty command with descriptors of the caller's.
  func fault(
    _ command: Command, _ payload: [UInt8], flags: MessageFlags = [], sending descriptors: [CInt],
    location: SourceLocation = #_sourceLocation
  ) throws {
    let header = MessageHeader(
      messageID: 4711, command: command, payloadByteCount: payload.count, flags: flags)
    try raw(TestPeer.frame(header, payload), descriptors: descriptors, location: location)
  }

  func fault(
    _ message: some WireMessage, descriptors count: Int = 0,
    location: SourceLocation = #_sourceLocation
  ) throws {
    try fault(
      type(of: message).command, message.encodedPayload(), descriptors: count, location: location)
  }

  /// Sends each beginning of a payload that is shorter than `minimum`.
  func truncated(
    _ command: Command, _ payload: [UInt8], below minimum: Int? = nil,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let staysFresh = isFresh
    for count in 0..<(minimum ?? payload.count) {
      if staysFresh, !isFresh { try startAfresh() }
      try fault(command, Array(payload.prefix(count)), location: location)
    }
  }

  /// Sends bytes that hold one faulty message, and checks what comes of it.
  func raw(
    _ bytes: [UInt8], descriptors: [CInt] = [], location: SourceLocation = #_sourceLocation
  ) throws {
    try rig.peer.sendRaw(bytes, descriptors: descriptors)
    try check(try rig.turn(), location: location)
  }

  /// Checks an answer, and that the server goes on serving.
  func check(
    _ reply: TestPeer.Message?, location: SourceLocation = #_sourceLocation
  ) throws {
    switch answer {
    case .refused(let errno), .refusedAndClosed(let errno):
      #expect(reply?.header.failure == errno, sourceLocation: location)
      #expect(reply?.payload == [], "an error reply is a header alone", sourceLocation: location)
    case .served:
      let failure = try #require(reply, "no reply", sourceLocation: location).header.failure
      #expect(failure == nil, sourceLocation: location)
    case .closed, .ignored, .failsDevice:
      #expect(reply == nil, sourceLocation: location)
    }
    #expect(reply?.descriptors.isEmpty ?? true, sourceLocation: location)
    try checkService(location: location)
  }

  private func checkService(location: SourceLocation) throws {
    switch answer {
    case .closed, .refusedAndClosed:
      #expect(rig.end != nil, "the connection lives on", sourceLocation: location)
      #expect(rig.peer.isClosed, sourceLocation: location)
      try rig.reconnect()
      isFresh = false
    default:
      #expect(rig.end == nil, "the connection has ended", sourceLocation: location)
    }
    try rig.write(0, 8, [1, 2, 3, 4])
    #expect(try rig.read(0, 8, 4) == [1, 2, 3, 4], sourceLocation: location)
  }
}
