import NVMe
import Testing

@Suite("Controller registers")
struct ControllerRegisterTests {
  @Test("Capabilities of a controller that Linux knows decode as the specification says")
  func capabilities() {
    // MQES 2047, CQR, TO 15, DSTRD 1, NSSRS, NVM command set, pages of 4 to 64 KiB.
    let decoded = ControllerCapabilities(rawValue: 0x0040_0031_0f01_07ff)
    #expect(decoded.maximumQueueEntryCount == 2048)
    #expect(decoded.requiresContiguousQueues)
    #expect(decoded.timeout == 15)
    #expect(decoded.doorbellStride == 1)
    #expect(decoded.supportsSubsystemReset)
    #expect(decoded.commandSets == 1)
    #expect(decoded.minimumPageShift == 0 && decoded.maximumPageShift == 4)
    var built = ControllerCapabilities(rawValue: 0)
    built.maximumQueueEntryCount = 2048
    built.requiresContiguousQueues = true
    built.timeout = 15
    built.doorbellStride = 1
    built.supportsSubsystemReset = true
    built.commandSets = 1
    built.maximumPageShift = 4
    #expect(built == decoded)
  }

  @Test("Setting a field of the capabilities leaves the others")
  func capabilitiesFields() {
    var ones = ControllerCapabilities(rawValue: .max)
    ones.maximumQueueEntryCount = 1
    ones.requiresContiguousQueues = false
    ones.timeout = 0
    ones.doorbellStride = 0
    ones.supportsSubsystemReset = false
    ones.commandSets = 0
    ones.minimumPageShift = 0
    ones.maximumPageShift = 0
    #expect(ones.rawValue == 0xff00_e000_00fe_0000)
    ones.maximumQueueEntryCount = 65_536
    #expect(ones.maximumQueueEntryCount == 65_536)
  }

  @Test("A configuration that enables a controller has the bits that drivers write")
  func configuration() {
    var configuration = ControllerConfiguration(rawValue: 0)
    configuration.submissionEntryShift = 6
    configuration.completionEntryShift = 4
    configuration.isEnabled = true
    #expect(configuration.rawValue == 0x0046_0001)
    configuration.shutdownNotification = .normal
    #expect(configuration.rawValue == 0x0046_4001)
    configuration.shutdownNotification = .abrupt
    #expect(configuration.rawValue == 0x0046_8001)
    configuration.pageShift = 4
    #expect(configuration.rawValue == 0x0046_8201)
    configuration.arbitration = 1
    configuration.commandSet = 7
    #expect(configuration.rawValue == 0x0046_8a71)
    #expect(ControllerConfiguration(rawValue: 0xc000).shutdownNotification == nil)
  }

  @Test("Status bits decode one by one")
  func status() {
    #expect(ControllerStatus(rawValue: 0x01).isReady)
    #expect(ControllerStatus(rawValue: 0x02).isFatal)
    #expect(ControllerStatus(rawValue: 0x04).shutdown == .occurring)
    #expect(ControllerStatus(rawValue: 0x08).shutdown == .complete)
    #expect(ControllerStatus(rawValue: 0x0c).shutdown == nil)
    #expect(ControllerStatus(rawValue: 0x10).subsystemResetOccurred)
    #expect(ControllerStatus(rawValue: 0x20).isProcessingPaused)
    var status = ControllerStatus(rawValue: 0)
    status.isReady = true
    status.isFatal = true
    status.shutdown = .complete
    status.subsystemResetOccurred = true
    status.isProcessingPaused = true
    #expect(status.rawValue == 0x3b)
    status.shutdown = ControllerStatus.Shutdown.none
    status.isFatal = false
    #expect(status.rawValue == 0x31)
  }

  @Test("Doorbells of a queue lie beside each other, at the stride's distance")
  func doorbells() {
    #expect(ControllerRegisterOffset.submissionQueueTail(0) == 0x1000)
    #expect(ControllerRegisterOffset.completionQueueHead(0) == 0x1004)
    #expect(ControllerRegisterOffset.submissionQueueTail(3) == 0x1018)
    #expect(ControllerRegisterOffset.completionQueueHead(64) == 0x1204)
    #expect(ControllerRegisterOffset.completionQueueHead(2, stride: 16) == 0x1050)
  }
}
