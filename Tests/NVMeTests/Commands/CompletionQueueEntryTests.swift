import NVMe
import Testing

@Suite("Completion queue entry and status")
struct CompletionQueueEntryTests {
  @Test("A failed command's completion has the specification's bytes")
  func failure() {
    let entry = CompletionQueueEntry(
      result: 0x0403_0201, submissionQueueHead: 0x0605, submissionQueue: 0x0807,
      commandIdentifier: 0x0a09, phase: true, status: .blockOutOfRange)
    // LBA Out of Range 80h, generic, do not retry, phase 1: 0x4080 << 1 | 1.
    #expect(
      bytes(of: entry)
        == [1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 0x01, 0x81])
    #expect(entry.result == 0x0403_0201)
    #expect(entry.submissionQueueHead == 0x0605)
    #expect(entry.submissionQueue == 0x0807)
    #expect(entry.commandIdentifier == 0x0a09)
    #expect(entry.phase)
    #expect(entry.status == .blockOutOfRange)
  }

  @Test("A success in phase 0 has no bit of the last word set")
  func success() {
    let entry = CompletionQueueEntry(
      result: 0, submissionQueueHead: 0, submissionQueue: 0, commandIdentifier: 0, phase: false,
      status: .success)
    #expect(entry.low == 0 && entry.high == 0)
    #expect(entry.status.isSuccess && !entry.phase)
  }

  @Test("Type, code, More and Do Not Retry lie where the specification has them")
  func statusFields() {
    let status = NVMeStatus(type: 2, code: 0x81)
    #expect(status.rawValue == 0x4281)
    #expect(status.type == 2 && status.code == 0x81)
    #expect(status.doNotRetry && !status.hasMore && !status.isSuccess)
    #expect(status.withMore.rawValue == 0x6281)
    #expect(status.withMore.hasMore)
    #expect(NVMeStatus(rawValue: 0xffff).rawValue == 0x7fff)
  }

  @Test("A pattern matches whatever the retry and More bits say")
  func matching() {
    let matches: Bool
    switch NVMeStatus(type: 2, code: 0x81, doNotRetry: true).withMore {
    case .unrecoveredReadError: matches = true
    default: matches = false
    }
    #expect(matches)
    #expect(!(NVMeStatus.invalidField ~= .success))
  }

  @Test("Statuses have the specification's names; unknown ones their numbers")
  func names() {
    #expect(NVMeStatus.success.description == "Successful Completion")
    #expect(NVMeStatus.invalidQueueSize.description == "Invalid Queue Size")
    #expect(NVMeStatus.compareFailure.description == "Compare Failure")
    #expect(NVMeStatus(type: 7, code: 0xc1).description.contains("0xc1"))
  }

  @Test(
    "Opcodes, features and log pages have the specification's numbers")
  func numbers() {
    let admin: [(AdminOpcode, UInt8)] = [
      (.deleteSubmissionQueue, 0x00), (.createSubmissionQueue, 0x01), (.getLogPage, 0x02),
      (.deleteCompletionQueue, 0x04), (.createCompletionQueue, 0x05), (.identify, 0x06),
      (.abort, 0x08), (.setFeatures, 0x09), (.getFeatures, 0x0a),
      (.asynchronousEventRequest, 0x0c), (.doorbellBufferConfig, 0x7c), (.formatNVM, 0x80),
    ]
    for (opcode, number) in admin { #expect(opcode.rawValue == number) }
    let commands: [(IOOpcode, UInt8)] = [
      (.flush, 0x00), (.write, 0x01), (.read, 0x02), (.writeUncorrectable, 0x04),
      (.compare, 0x05), (.writeZeroes, 0x08), (.datasetManagement, 0x09), (.verify, 0x0c),
      (.copy, 0x19),
    ]
    for (opcode, number) in commands { #expect(opcode.rawValue == number) }
    let features: [(FeatureIdentifier, UInt8)] = [
      (.arbitration, 1), (.powerManagement, 2), (.temperatureThreshold, 4), (.errorRecovery, 5),
      (.volatileWriteCache, 6), (.queueCount, 7), (.interruptCoalescing, 8),
      (.interruptVectorConfiguration, 9), (.writeAtomicity, 10),
      (.asynchronousEventConfiguration, 11), (.timestamp, 14),
    ]
    for (feature, number) in features { #expect(feature.rawValue == number) }
    let pages: [LogPageIdentifier] = [
      .errorInformation, .health, .firmwareSlot, .changedNamespaces, .commandEffects,
    ]
    #expect(pages.map(\.rawValue) == [1, 2, 3, 4, 5])
  }
}
