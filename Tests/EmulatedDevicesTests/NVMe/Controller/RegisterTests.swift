import NVMe
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("nvme: the controller's registers", .timeLimit(.minutes(1)))
struct NVMeRegisterTests {
  @Test("E2: CAP and VS say what the controller can do, in every width")
  func capabilities() throws {
    let bench = try ControllerBench("queue-depth=8192")
    let raw: UInt64 = try bench.registers.read(at: RegionOffset(0))
    let capabilities = ControllerCapabilities(rawValue: raw)
    #expect(capabilities.maximumQueueEntryCount == 8192)
    #expect(capabilities.requiresContiguousQueues && capabilities.supportsSubsystemReset)
    #expect(capabilities.doorbellStride == 0 && capabilities.commandSets == 1)
    #expect(capabilities.minimumPageShift == 0 && capabilities.maximumPageShift == 4)
    #expect(try UInt64(bench.load(0)) | UInt64(bench.load(4)) << 32 == raw)
    #expect(try bench.load(8) == 0x0001_0400)
    #expect(try bench.load(0x38) == 0 && bench.load(0x3c) == 0)
    let identity: UInt64 = try bench.client.region(at: PCIRegionIndex.configurationSpace)
      .read(at: RegionOffset(4 + 4))
    #expect(identity >> 8 & 0xff_ffff == 0x01_0802)
  }

  @Test("E2: the 64-bit queue bases are written in halves and whole")
  func halves() throws {
    let bench = try ControllerBench()
    try bench.store(0x1234_5000, 0x28)
    try bench.store(0x77, 0x2c)
    #expect(try bench.registers.read(at: RegionOffset(0x28), as: UInt64.self) == 0x77_1234_5000)
    try bench.registers.write(UInt64(0x88_4321_0000), at: RegionOffset(0x30))
    #expect(try bench.load(0x34) == 0x88 && bench.load(0x30) == 0x4321_0000)
  }

  @Test("E2: the controller is enabled, disabled and enabled again, and works each time")
  func enableAgain() throws {
    let bench = try ControllerBench()
    #expect(try !bench.status.isReady)
    for _ in 0..<3 {
      try bench.enable()
      #expect(try bench.status(.identify, 1).isSuccess)
      // Open event requests end with the controller, untold.
      try bench.submit(AdminOpcode.asynchronousEventRequest.rawValue)
      try bench.disable()
      #expect(try bench.completion(milliseconds: 20) == nil)
    }
  }

  @Test(
    "E17: a configuration that does not exist is fatal, and mended by CC.EN",
    arguments: [5 << 7, 1 << 4, 1 << 11, 6 << 4] as [UInt32])
  func badConfiguration(bits: UInt32) throws {
    let bench = try ControllerBench()
    try bench.startEnable(ControllerBench.usualConfiguration | bits)
    try bench.wait { try bench.status.isFatal }
    #expect(try !bench.status.isReady)
    try bench.disable()
    #expect(try !bench.status.isFatal)
    try bench.enable()
    #expect(try bench.status(.identify, 1).isSuccess)
  }

  @Test("E17: admin queues off a page are fatal")
  func misaligned() throws {
    let bench = try ControllerBench()
    try bench.startEnable(misalignment: 64)
    try bench.wait { try bench.status.isFatal }
    #expect(try !bench.status.isReady)
  }

  @Test("E17: admin queues outside guest memory are fatal, and the next enable works")
  func unreadableQueue() throws {
    let bench = try ControllerBench()
    try bench.startEnable()
    try bench.disable()
    try bench.registers.write(UInt64(0x7000_0000), at: RegionOffset(0x28))
    try bench.store(
      ControllerBench.usualConfiguration | 1, ControllerRegisterOffset.configuration)
    try bench.wait { try bench.status.isReady }
    try bench.store(1, ControllerRegisterOffset.doorbells)
    try bench.wait { try bench.status.isFatal }
    try bench.disable()
    try bench.enable()
    #expect(try bench.status(.identify, 1).isSuccess)
  }

  @Test(
    "E2: a shutdown is said to be complete, and the controller works after it",
    arguments: [1, 2] as [UInt32], [false, true])
  func shutdown(notification: UInt32, isDisabling: Bool) throws {
    let bench = try ControllerBench()
    try bench.enable()
    let configuration = ControllerBench.usualConfiguration | notification << 14
    try bench.store(
      configuration | (isDisabling ? 0 : 1), ControllerRegisterOffset.configuration)
    try bench.wait { try bench.status.shutdown == .complete }
    try bench.disable()
    try bench.enable()
    #expect(try bench.status.shutdown == ControllerStatus.Shutdown.none)
    #expect(try bench.status(.identify, 1).isSuccess)
  }

  @Test("E2: a controller that is disabled can be shut down and enabled")
  func shutdownWhileDisabled() throws {
    let bench = try ControllerBench()
    for _ in 0..<2 {
      try bench.store(1 << 14, ControllerRegisterOffset.configuration)
      try bench.wait { try bench.status.shutdown == .complete }
      try bench.store(0, ControllerRegisterOffset.configuration)
      try bench.enable()
      #expect(try bench.status(.identify, 1).isSuccess)
      try bench.disable()
    }
  }

  @Test("E2: a subsystem reset disables the controller and is remembered until cleared")
  func subsystemReset() throws {
    let bench = try ControllerBench()
    try bench.enable()
    try bench.store(0x1234_5678, ControllerRegisterOffset.subsystemReset)
    #expect(try bench.status.isReady)
    try bench.store(0x4e56_4d65, ControllerRegisterOffset.subsystemReset)
    try bench.wait { try !bench.status.isReady }
    #expect(try bench.status.subsystemResetOccurred)
    #expect(try bench.load(ControllerRegisterOffset.configuration) == 0)
    #expect(try bench.load(ControllerRegisterOffset.subsystemReset) == 0)
    try bench.store(0x10, ControllerRegisterOffset.status)
    #expect(try !bench.status.subsystemResetOccurred)
    try bench.enable()
    #expect(try bench.status(.identify, 1).isSuccess)
  }

  @Test("E9: a device reset puts the registers back, and the controller can be enabled again")
  func deviceReset() throws {
    let bench = try ControllerBench()
    try bench.enable()
    try bench.submit(AdminOpcode.asynchronousEventRequest.rawValue)
    try bench.client.reset()
    #expect(try bench.load(ControllerRegisterOffset.status) == 0)
    #expect(try bench.load(ControllerRegisterOffset.adminQueueAttributes) == 0)
    try bench.setCommand(6)
    try bench.enable()
    #expect(try bench.status(.identify, 1).isSuccess)
  }

  @Test("E10: the controller stays enabled for the next client")
  func reconnect() throws {
    let bench = try ControllerBench()
    try bench.enable()
    #expect(try bench.status(.identify, 1).isSuccess)
    try bench.reconnect()
    #expect(try bench.status.isReady && !bench.status.isFatal)
    #expect(try bench.status(.identify, 1).isSuccess)
  }

  @Test("E5: without bus mastering nothing is fetched; it is once that is on")
  func busMaster() throws {
    let bench = try ControllerBench()
    try bench.enable()
    try bench.setCommand(2)
    try bench.submit(AdminOpcode.identify.rawValue, 1)
    #expect(try bench.completion(milliseconds: 20) == nil)
    #expect(try !bench.status.isFatal)
    try bench.setCommand(6)
    #expect(try bench.completion()?.status.isSuccess == true)
  }

  @Test("E2: the pin is asserted while a completion is unread, unless INTMS masks it")
  func pin() throws {
    let bench = try ControllerBench()
    let pin = try bench.client.enableInterrupts(index: 0, count: 1)[0]
    try bench.enable()
    try bench.submit(AdminOpcode.identify.rawValue, 1)
    #expect(pin.wait(timeout: .seconds(2)) == 1)
    #expect(try bench.completion() != nil)
    try bench.client.unmaskInterrupts(index: 0, start: 0, count: 1)
    #expect(pin.wait(timeout: .milliseconds(20)) == nil)

    try bench.store(1, ControllerRegisterOffset.interruptMaskSet)
    #expect(try bench.load(ControllerRegisterOffset.interruptMaskSet) == 1)
    #expect(try bench.load(ControllerRegisterOffset.interruptMaskClear) == 1)
    try bench.submit(AdminOpcode.identify.rawValue, 1)
    #expect(pin.wait(timeout: .milliseconds(20)) == nil)
    try bench.store(1, ControllerRegisterOffset.interruptMaskClear)
    #expect(pin.wait(timeout: .seconds(2)) == 1)
  }

  @Test("Q7: mapped doorbells need polling, and are refused in one line without")
  func doorbellKnob() throws {
    let bench = try ControllerBench()
    #expect(bench.registers.mappedAreas.isEmpty)
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
    let bench = try ControllerBench(polling: .always)
    #expect(
      bench.registers.mappedAreas == [RegionArea(offset: RegionOffset(0x1000), byteCount: 0x1000)])
    try bench.enable()
    for _ in 0..<100 { #expect(try bench.status(.identify, 1).isSuccess) }
  }
}
