import Testing

@testable import VFIOUser

@Suite("Random bytes")
struct RandomBytesTests {
  /// Bytes that look like messages often enough: small numbers, all ones, and anything.
  static func payload(using generator: inout SeededGenerator) -> [UInt8] {
    let count = Int.random(in: 0...120, using: &generator)
    let kind = Int.random(in: 0..<3, using: &generator)
    var bytes = (0..<count).map { index -> UInt8 in
      switch kind {
      case 0: .random(in: 0...255, using: &generator)
      case 1: index % 4 == 0 ? .random(in: 0...64, using: &generator) : 0
      default: Bool.random(using: &generator) ? 0xff : 0
      }
    }
    if count >= 4, Bool.random(using: &generator) {
      bytes.replaceSubrange(0..<4, with: [UInt8(count), 0, 0, 0])
    }
    return bytes
  }

  /// Decodes; what decodes must encode and decode to the same.
  static func check<Message: WireMessage>(_ payload: [UInt8], as type: Message.Type) {
    guard let message = try? decode(payload, as: type) else { return }
    let encoded = message.encodedPayload()
    #expect(encoded.count == message.encodedByteCount)
    if (message as? RegionInfo)?.isIncomplete == true { return }
    if (message as? RegionIODescriptors)?.isIncomplete == true { return }
    #expect(throws: Never.self) { try decode(encoded, as: type) }
  }

  @Test("E16, E17: no decoder traps on random bytes")
  func decoders() {
    var generator = SeededGenerator(seed: 42)
    for _ in 0..<20_000 {
      let payload = Self.payload(using: &generator)
      Self.check(payload, as: VersionMessage.self)
      Self.check(payload, as: DMAMapRequest.self)
      Self.check(payload, as: DMAUnmapRequest.self)
      Self.check(payload, as: DeviceInfoRequest.self)
      Self.check(payload, as: DeviceInfo.self)
      Self.check(payload, as: RegionInfoRequest.self)
      Self.check(payload, as: RegionInfo.self)
      Self.check(payload, as: RegionIODescriptorsRequest.self)
      Self.check(payload, as: RegionIODescriptors.self)
      Self.check(payload, as: IRQInfoRequest.self)
      Self.check(payload, as: IRQInfo.self)
      Self.check(payload, as: SetIRQs.self)
      Self.check(payload, as: RegionWriteMulti.self)
      Self.check(payload, as: RegionWriteMultiReply.self)
      Self.check(payload, as: DeviceFeature.self)
      Self.check(payload, as: MigrationDataReadRequest.self)
      Self.check(payload, as: MigrationData.self)
      _ = try? MessageHeader(decoding: payload.rawSpan)
      _ = try? RegionAccess.readRequest(payload.rawSpan, limit: 64)
      _ = try? RegionAccess.writeRequest(payload.rawSpan, limit: 64)
      _ = try? DMAAccess.readRequest(payload.rawSpan, limit: 64)
      _ = try? DMAAccess.writeRequest(payload.rawSpan, limit: 64)
      _ = try? DMALoggingControl(decoding: payload.rawSpan)
      _ = try? DMALoggingReport(request: payload.rawSpan)
      _ = try? DMALoggingReport(reply: payload.rawSpan)
      _ = try? MigrationDeviceState(decoding: payload.rawSpan)
      Self.check(payload, as: RegionChanged.self)
      _ = try? IORegionResponse(decoding: payload.rawSpan)
      let frame = Array(payload.prefix(IORegionCommand.byteCount))
      if let command = try? IORegionCommand(decoding: frame.rawSpan) {
        let again = [UInt8](byteCount: IORegionCommand.byteCount) { try? command.encode(into: &$0) }
        #expect((try? IORegionCommand(decoding: again.rawSpan)) == command)
      }
    }
  }
}
