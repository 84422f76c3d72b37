import Testing

@testable import VFIOUser

@Suite("Feature and migration messages")
struct FeatureMessageTests {
  @Test("DEVICE_FEATURE has the bytes of the specification")
  func feature() throws {
    try expectGolden(
      DeviceFeature(.migration, .get, argumentSize: 16), hex("10000000 01000100"))
    try expectGolden(
      DeviceFeature(
        .migrationDeviceState, .set, data: MigrationDeviceState.stopCopy.encodedData()),
      hex("10000000 02000200 03000000 ffffffff"))
    try expectGolden(
      DeviceFeature(.dmaLoggingStart, [.probe, .get, .set]), hex("08000000 06000700"))
  }

  @Test("E17: DEVICE_FEATURE without a method, with two, or with unknown flags is refused")
  func featureFaults() throws {
    let golden = hex("10000000 01000100")
    expectRefusedWhenTruncated(golden, as: DeviceFeature.self)
    #expect(fault(try patched(golden, 7, at: 0), as: DeviceFeature.self) == .badArgumentSize)
    #expect(fault(try patched(golden, 0x0000_0001, at: 4), as: DeviceFeature.self) == .badFlags)
    #expect(fault(try patched(golden, 0x0003_0001, at: 4), as: DeviceFeature.self) == .badFlags)
    #expect(fault(try patched(golden, 0x0007_0001, at: 4), as: DeviceFeature.self) == nil)
    for bit in 19..<32 {
      let bytes = try patched(golden, 0x0001_0001 | 1 << UInt32(bit), at: 4)
      #expect(fault(bytes, as: DeviceFeature.self) == .badFlags)
    }
  }

  @Test("Migration flags and states have the bytes of the specification")
  func migration() throws {
    let flags: MigrationFeature = [.stopCopy, .preCopy]
    #expect(flags.encodedData() == hex("0500000000000000"))
    #expect(try MigrationFeature(decoding: flags.encodedData().rawSpan) == flags)
    for state in MigrationDeviceState.allCases {
      #expect(try MigrationDeviceState(decoding: state.encodedData().rawSpan) == state)
    }
    #expect(throws: WireError.self) {
      try MigrationDeviceState(decoding: hex("08000000 00000000").rawSpan)
    }
    #expect(throws: WireError.self) {
      try MigrationDeviceState(decoding: hex("01000000").rawSpan)
    }
    #expect(throws: WireError.self) { try MigrationFeature(decoding: hex("01000000").rawSpan) }
  }

  @Test("DMA logging controls have the bytes of the specification")
  func logging() throws {
    let control = DMALoggingControl(
      pageByteCount: 4096,
      ranges: [.init(address: DMAAddress(0x1000), byteCount: 0x2000)])
    let golden = hex("0010000000000000 01000000 00000000 0010000000000000 0020000000000000")
    #expect(control.encodedData() == golden)
    #expect(try DMALoggingControl(decoding: golden.rawSpan) == control)
    for count in 0..<golden.count {
      #expect(throws: WireError.self) {
        try DMALoggingControl(decoding: Array(golden.prefix(count)).rawSpan)
      }
    }
    for (value, offset) in [(2, 8), (UInt32.max, 8), (3, 0), (0, 0)] as [(UInt32, Int)] {
      let bytes = try patched(golden, value, at: offset)
      #expect(throws: WireError.self) { try DMALoggingControl(decoding: bytes.rawSpan) }
    }
  }

  @Test("E12: a logging report has one bit a page, padded to 64")
  func report() throws {
    let request = DMALoggingReport(
      address: DMAAddress(0x1000), byteCount: 65 * 4096, pageByteCount: 4096)
    #expect(request.bitmapByteCount == 16)
    let golden = hex("0010000000000000 0010040000000000 0010000000000000")
    #expect(request.encodedData() == golden)
    #expect(try DMALoggingReport(request: golden.rawSpan) == request)
    let reply = golden + [UInt8](repeating: 0xff, count: 16)
    #expect(try DMALoggingReport(reply: reply.rawSpan).bitmap.count == 16)
    for count in [0, 23, 24, 39] {
      #expect(throws: WireError.self) {
        try DMALoggingReport(reply: Array(reply.prefix(count)).rawSpan)
      }
    }
    #expect(throws: WireError.self) { try DMALoggingReport(request: reply.rawSpan) }
    let everything = DMALoggingReport(
      address: DMAAddress(0), byteCount: .max, pageByteCount: 1)
    #expect(everything.bitmapByteCount == 1 << 61)
    #expect(throws: WireError.self) {
      try DMALoggingReport(reply: everything.encodedData().rawSpan)
    }
  }

  @Test("Migration data has the bytes of the specification")
  func data() throws {
    try expectGolden(MigrationDataReadRequest(byteCount: 0x100), hex("08010000 00010000"))
    try expectGolden(MigrationData([1, 2, 3]), hex("0b000000 03000000 010203"))
  }

  @Test("E17: migration data whose size is not its content is refused")
  func dataFaults() throws {
    let request = hex("08010000 00010000")
    expectRefusedWhenTruncated(request, as: MigrationDataReadRequest.self)
    typealias Request = MigrationDataReadRequest
    #expect(fault(request + [0], as: Request.self) == .oversized)
    #expect(fault(try patched(request, 0x107, at: 0), as: Request.self) == .badArgumentSize)
    #expect(fault(try patched(request, .max, at: 4), as: Request.self) == .badArgumentSize)
    let data = hex("0b000000 03000000 010203")
    expectRefusedWhenTruncated(data, as: MigrationData.self)
    #expect(fault(data + [0], as: MigrationData.self) == .badCount)
    #expect(fault(try patched(data, 10, at: 0), as: MigrationData.self) == .badArgumentSize)
    #expect(fault(try patched(data, .max, at: 4), as: MigrationData.self) == .badCount)
  }
}
