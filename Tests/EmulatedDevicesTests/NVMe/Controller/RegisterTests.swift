import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("nvme: the controller's registers", .timeLimit(.minutes(10)))
struct NVMeRegisterTests {
  @Test("E2: CAP and VS say what the controller can do, in every width")
  func capabilities() throws {
    let rig = try NVMeRig("queue-depth=8192", isEnabled: false)
    let raw: UInt64 = try rig.registers.read(at: RegionOffset(0))
    let capabilities = ControllerCapabilities(rawValue: raw)
    #expect(capabilities.maximumQueueEntryCount == 8192)
    #expect(capabilities.requiresContiguousQueues && capabilities.supportsSubsystemReset)
    #expect(capabilities.doorbellStride == 0 && capabilities.commandSets == 1)
    #expect(capabilities.minimumPageShift == 0 && capabilities.maximumPageShift == 4)
    #expect(try UInt64(rig.load(0)) | UInt64(rig.load(4)) << 32 == raw)
    #expect(try rig.load(8) == 0x0001_0400)
    #expect(try rig.load(0x38) == 0 && rig.load(0x3c) == 0)
    let identity: UInt64 = try rig.client.region(at: PCIRegionIndex.configurationSpace)
      .read(at: RegionOffset(4 + 4))
    #expect(identity >> 8 & 0xff_ffff == 0x01_0802)
  }

  @Test("E2: the 64-bit queue bases are written in halves and whole")
  func halves() throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.store(0x1234_5000, 0x28)
    try rig.store(0x77, 0x2c)
    #expect(try rig.registers.read(at: RegionOffset(0x28), as: UInt64.self) == 0x77_1234_5000)
    try rig.registers.write(UInt64(0x88_4321_0000), at: RegionOffset(0x30))
    #expect(try rig.load(0x34) == 0x88 && rig.load(0x30) == 0x4321_0000)
  }

  @Test("E2: the controller is enabled, disabled and enabled again, and works each time")
  func enableAgain() throws {
    let rig = try NVMeRig(isEnabled: false)
    #expect(try !rig.status.isReady)
    for _ in 0..<3 {
      try rig.enable()
      #expect(try rig.status(.identify, 1) == .success)
      // Open event requests end with the controller, untold.
      try rig.submit(.asynchronousEventRequest)
      try rig.disable()
      #expect(try rig.settled(rig.admin).isEmpty)
    }
  }

  @Test(
    "E17: a configuration that does not exist is fatal, and mended by CC.EN",
    arguments: [5 << 7, 1 << 4, 1 << 11, 6 << 4] as [UInt32])
  func badConfiguration(bits: UInt32) throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.startEnable(NVMeRig.usualConfiguration | bits)
    try rig.wait { try rig.status.isFatal }
    #expect(try !rig.status.isReady)
    try rig.disable()
    #expect(try !rig.status.isFatal)
    try rig.enable()
    #expect(try rig.status(.identify, 1) == .success)
  }

  @Test(
    "E17: admin queues off a page are fatal",
    arguments: [(64, 0), (2048, 0), (4096, 4), (32_768, 4)] as [(UInt32, UInt32)])
  func misaligned(misalignment: UInt32, pageShift: UInt32) throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.startEnable(
      NVMeRig.usualConfiguration | pageShift << 7, misalignment: misalignment)
    try rig.wait { try rig.status.isFatal }
    #expect(try !rig.status.isReady)
  }

  @Test("E17: admin queues outside guest memory are fatal, and the next enable works")
  func unreadableQueue() throws {
    let rig = try NVMeRig(isEnabled: false)
    try rig.startEnable()
    try rig.disable()
    try rig.registers.write(UInt64(0x7000_0000), at: RegionOffset(0x28))
    try rig.store(
      NVMeRig.usualConfiguration | 1, ControllerRegisterOffset.configuration)
    try rig.wait { try rig.status.isReady }
    try rig.store(1, ControllerRegisterOffset.doorbells)
    try rig.wait { try rig.status.isFatal }
    try rig.disable()
    try rig.enable()
    #expect(try rig.status(.identify, 1) == .success)
  }

  @Test(
    "E2: a shutdown is said to be complete, and the controller works after it",
    arguments: [1, 2] as [UInt32], [false, true])
  func shutdown(notification: UInt32, isDisabling: Bool) throws {
    let rig = try NVMeRig()
    let configuration = NVMeRig.usualConfiguration | notification << 14
    try rig.store(
      configuration | (isDisabling ? 0 : 1), ControllerRegisterOffset.configuration)
    try rig.wait { try rig.status.shutdown == .complete }
    try rig.disable()
    try rig.enable()
    #expect(try rig.status.shutdown == ControllerStatus.Shutdown.none)
    #expect(try rig.status(.identify, 1) == .success)
  }

  @Test("E2: a controller that is disabled can be shut down and enabled")
  func shutdownWhileDisabled() throws {
    let rig = try NVMeRig(isEnabled: false)
    for _ in 0..<2 {
      try rig.store(1 << 14, ControllerRegisterOffset.configuration)
      try rig.wait { try rig.status.shutdown == .complete }
      try rig.store(0, ControllerRegisterOffset.configuration)
      try rig.enable()
      #expect(try rig.status(.identify, 1) == .success)
      try rig.disable()
    }
  }

  @Test("E2: a subsystem reset disables the controller and is remembered until cleared")
  func subsystemReset() throws {
    let rig = try NVMeRig()
    try rig.store(0x1234_5678, ControllerRegisterOffset.subsystemReset)
    #expect(try rig.status.isReady)
    try rig.store(0x4e56_4d65, ControllerRegisterOffset.subsystemReset)
    try rig.wait { try !rig.status.isReady }
    #expect(try rig.status.subsystemResetOccurred)
    #expect(try rig.load(ControllerRegisterOffset.configuration) == 0)
    #expect(try rig.load(ControllerRegisterOffset.subsystemReset) == 0)
    try rig.store(0x10, ControllerRegisterOffset.status)
    #expect(try !rig.status.subsystemResetOccurred)
    try rig.enable()
    #expect(try rig.status(.identify, 1) == .success)
  }

  @Test("E9: a device reset puts the registers back, and the controller can be enabled again")
  func deviceReset() throws {
    let rig = try NVMeRig()
    try rig.submit(.asynchronousEventRequest)
    try rig.client.reset()
    #expect(try rig.load(ControllerRegisterOffset.status) == 0)
    #expect(try rig.load(ControllerRegisterOffset.adminQueueAttributes) == 0)
    try rig.setCommand(6)
    try rig.enable()
    #expect(try rig.status(.identify, 1) == .success)
  }

  @Test("E10: the controller stays enabled for the next client")
  func reconnect() throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.identify, 1) == .success)
    rig.disconnect()
    try rig.connect()
    #expect(try rig.status.isReady && !rig.status.isFatal)
    #expect(try rig.status(.identify, 1) == .success)
  }

  @Test("E5: without bus mastering nothing is fetched; it is once that is on")
  func busMaster() throws {
    let rig = try NVMeRig()
    try rig.setCommand(2)
    try rig.submit(.identify, 1)
    #expect(try rig.settled(rig.admin).isEmpty)
    #expect(try !rig.status.isFatal)
    try rig.setCommand(6)
    #expect(try rig.reap(rig.admin, 1)[0].status == .success)
  }

  @Test("E2: the pin is asserted while a completion is unread, unless INTMS masks it")
  func pin() throws {
    let rig = try NVMeRig(isEnabled: false)
    let pin = try rig.client.enableInterrupts(index: 0, count: 1)[0]
    try rig.enable()
    try rig.submit(.identify, 1)
    #expect(pin.wait(timeout: .seconds(60)) == 1)
    _ = try rig.reap(rig.admin, 1)
    try rig.client.unmaskInterrupts(index: 0, start: 0, count: 1)
    #expect(pin.wait(timeout: .milliseconds(20)) == nil)

    try rig.store(1, ControllerRegisterOffset.interruptMaskSet)
    #expect(try rig.load(ControllerRegisterOffset.interruptMaskSet) == 1)
    #expect(try rig.load(ControllerRegisterOffset.interruptMaskClear) == 1)
    try rig.submit(.identify, 1)
    #expect(pin.wait(timeout: .milliseconds(20)) == nil)
    try rig.store(1, ControllerRegisterOffset.interruptMaskClear)
    #expect(pin.wait(timeout: .seconds(60)) == 1)
  }

  @Test("Q7: mapped doorbells need polling, and are refused in one line without")
  func doorbellKnob() throws {
    let rig = try NVMeRig(isEnabled: false)
    #expect(rig.registers.mappedAreas.isEmpty)
    var knobs = try KnobValues(device: "nvme", declaring: NVMeDevice.declaration.knobs)
    try knobs.set("doorbells=mapped")
    let loop = try EventLoop(polling: .adaptive)
    let error = #expect(throws: KnobError.self) {
      try PCIFunction(NVMeDevice.self, knobs: knobs, backend: nil, loop: loop)
    }
    #expect(error?.description.contains("--poll always") == true)
    #expect(error?.description.contains("\n") == false)
  }

  @Test("E3: a polling device lets its doorbells be mapped, and finds what is stored there")
  func mappedDoorbells() throws {
    let rig = try NVMeRig(polling: .always, isEnabled: false)
    #expect(
      rig.registers.mappedAreas == [RegionArea(offset: RegionOffset(0x1000), byteCount: 0x1000)])
    try rig.enable()
    for _ in 0..<20 { #expect(try rig.status(.identify, 1).isSuccess) }
  }
}
