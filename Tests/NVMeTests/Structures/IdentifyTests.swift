import NVMe
import Testing

@Suite("Identify structures")
struct IdentifyTests {
  @Test("Each field of the controller's structure lies at the specification's offset")
  func controllerOffsets() {
    var data = IdentifyController()
    data.vendor = 0x0201
    data.subsystemVendor = 0x0403
    data.arbitrationBurst = 0x48
    data.maximumTransferShift = 0x4d
    data.controllerIdentifier = 0x4f4e
    data.version = 0x0001_0400
    data.asynchronousEventsSupported = 0x100
    data.controllerType = 1
    data.adminCommandSupport = 0x0102
    data.abortCommandLimit = 0x03
    data.asynchronousEventRequestLimit = 0x07
    data.firmwareUpdates = 0x13
    data.logPageAttributes = 0x06
    data.errorLogPageEntries = 63
    data.powerStateCount = 1
    data.warningTemperature = 0x0157
    data.criticalTemperature = 0x0161
    data.keepAliveSupport = 0x0a0b
    data.submissionQueueEntrySize = 0x66
    data.completionQueueEntrySize = 0x44
    data.maximumOutstandingCommands = 0x1001
    data.namespaceCount = 0x0a
    data.commandSupport = 0x01df
    data.formatAttributes = 0x01
    data.volatileWriteCache = 0x07
    data.atomicWriteUnitNormal = 0x0807
    data.atomicWriteUnitPowerFail = 0x0a09
    data.copyFormatSupport = 0x01
    data.sglSupport = 0x000f_0001
    data.setMaximumPower(0x09c4)
    #expect(
      occupied(data.bytes) == [
        0: 1, 1: 2, 2: 3, 3: 4, 72: 0x48, 77: 0x4d, 78: 0x4e, 79: 0x4f, 81: 4, 82: 1, 93: 1,
        111: 1, 256: 2, 257: 1, 258: 3, 259: 7, 260: 0x13, 261: 6, 262: 63, 263: 1, 266: 0x57,
        267: 1, 268: 0x61, 269: 1, 320: 0x0b, 321: 0x0a, 512: 0x66, 513: 0x44, 514: 1, 515: 0x10,
        516: 10, 520: 0xdf, 521: 1, 524: 1, 525: 7, 526: 7, 527: 8, 528: 9, 529: 10, 534: 1,
        536: 1, 538: 0x0f, 2048: 0xc4, 2049: 9,
      ])
  }

  @Test("Text is padded with spaces, cut to its field, and plain ASCII")
  func text() {
    var data = IdentifyController()
    data.serialNumber = "0001"
    data.modelNumber = String(repeating: "m", count: 60)
    data.firmwareRevision = "1.0\u{e9}"
    #expect(Array(data.bytes[4..<24]) == Array("0001                ".utf8))
    #expect(Array(data.bytes[24..<64]) == [UInt8](repeating: 0x6d, count: 40))
    #expect(Array(data.bytes[64..<72]) == Array("1.0?    ".utf8))
    #expect(data.serialNumber == "0001")
    #expect(data.modelNumber.count == 40)
    #expect(data.firmwareRevision == "1.0?")
  }

  @Test("A qualified name ends with a zero, even one that is too long")
  func qualifiedName() {
    var data = IdentifyController()
    data.setQualifiedName("nqn.2014-08.org.example:disk")
    #expect(data.qualifiedName == "nqn.2014-08.org.example:disk")
    #expect(data.bytes[768 + 28] == 0)
    data.setQualifiedName(String(repeating: "q", count: 400))
    #expect(data.qualifiedName.count == 255)
    #expect(data.bytes[1023] == 0 && data.bytes[1024] == 0)
  }

  @Test("Each field of the namespace's structure lies at the specification's offset")
  func namespaceOffsets() {
    var data = IdentifyNamespace()
    data.blockCount = 0x0807_0605_0403_0201
    data.capacity = 0x10
    data.utilization = 0x11
    data.features = 0x15
    data.formatCount = 1
    data.formattedSize = 1
    data.metadataCapabilities = 2
    data.protectionCapabilities = 3
    data.deallocateFeatures = 9
    data.preferredWriteGranularity = 0x0140
    data.preferredWriteAlignment = 0x42
    data.preferredDeallocateGranularity = 0x44
    data.preferredDeallocateAlignment = 0x46
    data.optimalWriteByteCount = 0x48
    data.maximumSourceRangeLength = 0x4a
    data.maximumCopyLength = 0x0403_024c
    data.maximumSourceRangeCount = 0x50
    data.attributes = 1
    data.extendedUniqueIdentifier = 0x0102_0304_0506_0708
    data.setFormat(0, blockShift: 9, performance: 2)
    data.setFormat(1, blockShift: 12, performance: 0)
    var expected: [Int: UInt8] = [
      8: 0x10, 16: 0x11, 24: 0x15, 25: 1, 26: 1, 27: 2, 28: 3, 33: 9, 64: 0x40, 65: 1, 66: 0x42,
      68: 0x44, 70: 0x46, 72: 0x48, 74: 0x4a, 76: 0x4c, 77: 2, 78: 3, 79: 4, 80: 0x50, 99: 1,
      130: 9, 131: 2, 134: 12,
    ]
    for index in 0..<8 {
      expected[index] = UInt8(index + 1)
      // Big-endian, as the IEEE writes it.
      expected[120 + index] = UInt8(index + 1)
    }
    #expect(occupied(data.bytes) == expected)
    #expect(data.extendedUniqueIdentifier == 0x0102_0304_0506_0708)
    #expect(data.blockByteCount == 4096)
    data.formattedSize = 0
    #expect(data.blockByteCount == 512)
  }

  @Test("A format that does not exist, or is absurd, has no block size", arguments: [0, 32, 255])
  func badFormat(shift: Int) {
    var data = IdentifyNamespace()
    data.setFormat(5, blockShift: UInt8(shift), performance: 0)
    data.formattedSize = 5
    #expect(data.blockByteCount == 0)
  }

  @Test("Structures survive bytes that are short, long, or random")
  func decoding() {
    #expect(IdentifyController([]) == IdentifyController())
    #expect(IdentifyNamespace([1]).blockCount == 1)
    var generator = SystemRandomNumberGenerator()
    for count in [4095, 4096, 5000] {
      let random = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let controller = IdentifyController(random)
      #expect(controller.bytes.count == 4096)
      #expect(controller.bytes.starts(with: random.prefix(4096)))
      #expect(controller.serialNumber.unicodeScalars.count <= 20)
      #expect(IdentifyNamespace(random).blockByteCount >= 0)
    }
  }
}
