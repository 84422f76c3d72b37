import NVMe
import Testing

@testable import EmulatedDevices
@testable import VFIOUser

@Suite("nvme: keep alive, and the host's behaviour", .timeLimit(.minutes(10)))
struct KeepAliveTests {
  private static let timer: UInt32 = 0xf
  private static let behaviour: UInt32 = 0x16

  @Test(
    "E2: a Keep Alive Timeout is rounded up to the granularity",
    arguments: [
      (0, 0), (600_000, 600_000), (600_001, 601_000), (.max, 4_294_967_000),
    ] as [(UInt32, UInt32)])
  func rounding(wish: UInt32, timeout: UInt32) throws {
    let rig = try NVMeRig()
    #expect(try rig.run(.getFeatures, Self.timer).result == 0, "none to begin with")
    #expect(try rig.status(.setFeatures, Self.timer, wish) == .success)
    #expect(try rig.run(.getFeatures, Self.timer).result == timeout)
    #expect(try rig.run(.getFeatures, Self.timer | 1 << 8).result == 0, "the default")
  }

  @Test("E2: Keep Alive succeeds with and without a timer; a reset ends the timer")
  func alive() throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.keepAlive) == .success)
    #expect(try rig.status(.setFeatures, Self.timer, 600_000) == .success)
    for _ in 0..<3 { #expect(try rig.status(.keepAlive) == .success) }
    try rig.disable()
    try rig.enable()
    #expect(try rig.run(.getFeatures, Self.timer).result == 0)
    #expect(try rig.status(.keepAlive) == .success)
  }

  @Test(
    "E2: a driver that is silent for too long stops the controller, until it resets it",
    arguments: [RigMode.trapped, .threads, .messages])
  func expiry(mode: RigMode) throws {
    let rig = try mode.makeRig()
    let queue = try rig.makePair(1, entryCount: 64)
    #expect(try rig.status(.setFeatures, Self.timer, 1) == .success)
    try rig.wait { try rig.status.isFatal }
    #expect(try rig.status.isReady)
    // Nothing is carried out any more; other threads may learn of it a moment later.
    try rig.submit(.keepAlive)
    if mode == .trapped {
      try rig.putReads(4, in: queue)
      try rig.ring(queue)
      #expect(try rig.settled(queue).isEmpty)
    }
    #expect(try rig.settled(rig.admin).isEmpty)
    try rig.disable()
    #expect(try !rig.status.isFatal)
    try rig.enable()
    let error = try rig.lastError
    #expect(error.statusField >> 1 == NVMeStatus.keepAliveTimerExpired.rawValue)
    #expect(error.submissionQueue == .max)
    #expect(try rig.run(.getFeatures, Self.timer).result == 0)
    #expect(try rig.status(.read) == .success)
  }

  @Test("E2: a shutdown ends the timer")
  func shutdown() throws {
    let rig = try NVMeRig()
    #expect(try rig.status(.setFeatures, Self.timer, 600_000) == .success)
    try rig.store(
      NVMeRig.usualConfiguration | 1 | 1 << 14, ControllerRegisterOffset.configuration)
    try rig.wait { try rig.status.shutdown == .complete }
    try rig.disable()
    try rig.enable()
    #expect(try rig.run(.getFeatures, Self.timer).result == 0)
  }

  @Test("E2: Host Behavior Support keeps what the driver says of retries")
  func hostBehaviour() throws {
    let rig = try NVMeRig()
    func current(select: UInt32 = 0) throws -> [UInt8] {
      try rig.write([UInt8](repeating: 0xee, count: 512), NVMeRig.adminDataPlace)
      #expect(try rig.status(.getFeatures, Self.behaviour | select << 8) == .success)
      return try rig.bytes(NVMeRig.adminDataPlace, 512)
    }
    let (off, on) = ([UInt8](repeating: 0, count: 512), [1] + [UInt8](repeating: 0, count: 511))
    #expect(try current() == off)
    try rig.write(on, NVMeRig.adminDataPlace)
    #expect(try rig.status(.setFeatures, Self.behaviour) == .success)
    #expect(try current() == on && current(select: 1) == off)
    try rig.write([2], NVMeRig.adminDataPlace)
    #expect(try rig.status(.setFeatures, Self.behaviour) == .invalidField)
    #expect(
      try rig.status(.setFeatures, prp1: 0x7000_0000, Self.behaviour) == .dataTransferError)
    #expect(try current() == on)
    try rig.disable()
    try rig.enable()
    #expect(try current() == off)
  }
}
