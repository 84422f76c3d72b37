import NVMe
import Testing

@Suite("Submission queue entry")
struct SubmissionQueueEntryTests {
  @Test("A read command has the specification's bytes")
  func readCommand() {
    var entry = SubmissionQueueEntry()
    entry.opcode = IOOpcode.read.rawValue
    entry.commandIdentifier = 0x1234
    entry.namespaceIdentifier = 0x0102_0304
    entry.metadataPointer = 0x1111_2222_3333_4444
    entry.prp1 = 0x8877_6655_4433_2211
    entry.prp2 = 0x0000_0001_0000_2000
    entry.startingBlock = 0x0102_0304_0506_0708
    entry.blockCount = 8
    entry.forcesUnitAccess = true
    var expected: [UInt8] = [
      0x02, 0x00, 0x34, 0x12, 0x04, 0x03, 0x02, 0x01, 0, 0, 0, 0, 0, 0, 0, 0,
      0x44, 0x44, 0x33, 0x33, 0x22, 0x22, 0x11, 0x11,
      0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
      0x00, 0x20, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
      0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    ]
    expected += [0x07, 0x00, 0x00, 0x40] + [UInt8](repeating: 0, count: 12)
    #expect(bytes(of: entry) == expected)
    #expect(entry.blockCount == 8)
    #expect(entry.forcesUnitAccess)
  }

  @Test("Each dword lies at its own offset and leaves its neighbour alone")
  func dwords() {
    var entry = SubmissionQueueEntry(words: .init(repeating: .max))
    entry.dword10 = 0x10
    entry.dword12 = 0x12
    entry.dword14 = 0x14
    #expect([entry.dword11, entry.dword13, entry.dword15] == [.max, .max, .max])
    entry.dword11 = 0x11
    entry.dword13 = 0x13
    entry.dword15 = 0x15
    #expect([entry.dword10, entry.dword12, entry.dword14] == [0x10, 0x12, 0x14])
    let image = bytes(of: entry)
    #expect([40, 44, 48, 52, 56, 60].map { image[$0] } == [0x10, 0x11, 0x12, 0x13, 0x14, 0x15])
  }

  @Test("Fields of dword 0 do not disturb each other")
  func commandDword() {
    var entry = SubmissionQueueEntry(words: .init(repeating: .max))
    entry.opcode = 0
    entry.dataPointerKind = 1
    entry.commandIdentifier = 0xabcd
    entry.namespaceIdentifier = 0
    #expect(entry.words[0] == 0xabcd_7f00)
    #expect(entry.fusedOperation == 3)
    #expect(entry.dataPointerKind == 1)
  }

  @Test("Block counts reach 65,536", arguments: [1, 2, 256, 65_536])
  func blockCounts(count: Int) {
    var entry = SubmissionQueueEntry()
    entry.forcesUnitAccess = true
    entry.blockCount = count
    #expect(entry.blockCount == count)
    #expect(entry.dword12 == 0x4000_0000 | UInt32(count - 1))
    entry.forcesUnitAccess = false
    #expect(entry.dword12 == UInt32(count - 1))
  }
}
