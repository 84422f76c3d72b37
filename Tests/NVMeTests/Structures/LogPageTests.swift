import NVMe
import Testing

@Suite("Log pages")
struct LogPageTests {
  @Test("Each field of the health log lies at the specification's offset")
  func health() {
    var log = HealthLog()
    log.criticalWarning = 0x08
    log.temperature = 0x0137
    log.availableSpare = 100
    log.availableSpareThreshold = 10
    log.percentageUsed = 5
    log.dataUnitsRead = 0x0102
    log.dataUnitsWritten = 0x03
    log.hostReadCommands = 0x04
    log.hostWriteCommands = 0x05
    log.controllerBusyMinutes = 0x06
    log.powerCycles = 0x07
    log.powerOnHours = 0x08
    log.unsafeShutdowns = 0x09
    log.mediaErrors = 0x0a
    log.errorLogEntries = 0x0b
    #expect(log.bytes.count == 512)
    #expect(
      occupied(log.bytes) == [
        0: 8, 1: 0x37, 2: 1, 3: 100, 4: 10, 5: 5, 32: 2, 33: 1, 48: 3, 64: 4, 80: 5, 96: 6,
        112: 7, 128: 8, 144: 9, 160: 10, 176: 11,
      ])
  }

  @Test("An error log entry has the specification's bytes")
  func error() {
    var entry = ErrorInformationLogEntry()
    entry.errorCount = 0x0102
    entry.submissionQueue = 0x0304
    entry.commandIdentifier = 0x0506
    entry.statusField = NVMeStatus.blockOutOfRange.rawValue << 1
    entry.parameterLocation = 0x0728
    entry.block = 0x1122
    entry.namespace = 3
    #expect(entry.bytes.count == 64)
    #expect(
      occupied(entry.bytes) == [
        0: 2, 1: 1, 8: 4, 9: 3, 10: 6, 11: 5, 13: 0x81, 14: 0x28, 15: 7, 16: 0x22, 17: 0x11, 24: 3,
      ])
    #expect(NVMeStatus(rawValue: entry.statusField >> 1) == .blockOutOfRange)
  }

  @Test("The firmware log names slot 1's revision")
  func firmware() {
    var log = FirmwareSlotLog()
    log.activeSlot = 1
    log.firstSlotRevision = "0.3"
    #expect(log.bytes.count == 512)
    #expect(Array(log.bytes[0..<17]) == [1, 0, 0, 0, 0, 0, 0, 0] + Array("0.3     ".utf8) + [0])
    #expect(log.firstSlotRevision == "0.3")
  }

  @Test("Effects of admin commands come first, those of I/O commands from byte 1024 on")
  func effects() {
    var log = CommandEffectsLog()
    log[AdminOpcode.formatNVM] = [.supported, .changesBlocks, .changesNamespace, .excludesOthers]
    log[IOOpcode.write] = [.supported, .changesBlocks]
    #expect(log.bytes.count == 4096)
    #expect(occupied(log.bytes) == [0x200: 7, 0x202: 1, 1028: 3])
    #expect(log[AdminOpcode.formatNVM].contains(.excludesOthers))
    #expect(log[IOOpcode.read] == [])
  }
}
