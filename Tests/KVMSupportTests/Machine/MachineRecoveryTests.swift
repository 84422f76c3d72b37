import DeviceModel
import Glibc
import Synchronization
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// Guests whose devices die and come back: they wait, and go on.
@Suite(.serialized, .timeLimit(.minutes(4))) struct MachineRecoveryTests {
  private static let window: UInt64 = 0xe000_0000
  private static let none = UInt64(UInt32.max)
  /// Longer than the suite may take: whoever waits for so long fails.
  private static let patience = Duration.seconds(600)

  /// The guest calls these.
  private static let dying: UInt64 = 0x500
  private static let looking: UInt64 = 0x501

  private static func isLoss(_ event: MachineEvent) -> Bool {
    if case .deviceLost = event { true } else { false }
  }

  private static func isReturn(_ event: MachineEvent) -> Bool {
    if case .deviceResumed = event { true } else { false }
  }

  private static func isGivingUp(_ event: MachineEvent) -> Bool {
    if case .deviceGivenUp = event { true } else { false }
  }

  private static func isInterruption(_ event: MachineEvent) -> Bool {
    if case .accessInterrupted = event { true } else { false }
  }

  private static func policy(
    _ wait: Duration = patience, signals: Bool = true
  ) -> ReconnectPolicy {
    var policy = ReconnectPolicy.reconnect(within: wait)
    policy.longestDelay = .milliseconds(50)
    policy.signalsInterrupts = signals
    return policy
  }

  /// Has the guest end the server by a call. The next one starts once the machine knows of the loss, while
  /// the guest goes on at once, and meets a dead server or an absent one.
  private static func placeDeath(_ test: TestMachine, _ server: ReplaceableServer) throws {
    let events = test.events
    try test.machine.space.place(
      CallHandler {
        let count = events.value.count(where: isLoss)
        server.die()
        do {
          try WorkThread(name: "test") {
            _ = events.wait { $0.count(where: isLoss) > count }
            do { try server.start() } catch { Issue.record("no server: \(error)") }
          }.detach()
        } catch { Issue.record("no thread: \(error)") }
      }, in: .port, at: GuestAddress(dying), byteCount: 1)
  }

  // MARK: Going on

  @Test(
    "V12, E13: a guest whose device's server dies waits, and goes on with the next one, again and again",
    arguments: TestMachine.engines)
  func goesOn(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (device, server) = try test.attach(replaceable: PinDevice.self, Self.policy())
    try Self.placeDeath(test, server)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    for round in 0..<3 {
      script.write(Self.window + 4, 0x77)
      script.call(Self.dying)
      // Each kind of access is the first one after a death.
      switch round {
      case 0: script.read(Self.window, into: 0)
      case 1: script.readConfiguration(slot: 1, 0, into: 1)
      default: script.write(Self.window + 4, 0x99)
      }
      script.read(Self.window + 4, into: 2 + round)
      script.readConfiguration(slot: 1, 0x10, into: 5)
      script.readConfiguration(slot: 1, 4, into: 6, byteCount: 2)
    }
    #expect(try test.run(script) == .exited(0))
    #expect(
      try test.results(7) == [0x1122_3344, 0x0010_1234, 0, 0, 0x99, Self.window, 7])
    #expect(test.events.wait { $0.count(where: Self.isReturn) == 3 })
    #expect(test.events.value.count(where: Self.isLoss) == 3)
    #expect(!test.events.value.contains(where: Self.isInterruption))
    #expect(!device.isLost)
  }

  @Test(
    "V12: a connection that breaks before a server that lives costs the guest nothing",
    arguments: TestMachine.engines)
  func brokenConnection(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (device, _) = try test.attach(replaceable: PinDevice.self, Self.policy())
    try test.machine.space.place(
      // Weak: the machine keeps what is placed in its space.
      CallHandler { [weak device] in device?.session.close() }, in: .port,
      at: GuestAddress(Self.dying), byteCount: 1)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 4, 0x77)
    script.call(Self.dying)
    script.read(Self.window + 4, into: 0)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(1) == [0x77])
    #expect(test.events.wait { $0.contains(where: Self.isReturn) })
  }

  @Test(
    "V12: a configuration write that meets a dead server takes effect in the next one",
    arguments: TestMachine.engines)
  func configurationWrite(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (_, server) = try test.attach(replaceable: PinDevice.self, Self.policy())
    try Self.placeDeath(test, server)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.call(Self.dying)
    script.place(slot: 1, [0: Self.window + 0x10_0000])
    script.read(Self.window + 0x10_0000, into: 0)
    script.read(Self.window, into: 1)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(2) == [0x1122_3344, Self.none])
  }

  // MARK: Interrupts

  /// What a device's interrupts are set up as when its server dies.
  enum Delivery: CaseIterable {
    case pin, messages, vectors
  }

  @Test(
    "V12, E6: interrupts arrive from the next server as the guest has set them up",
    arguments: TestMachine.engines, Delivery.allCases)
  func interrupts(_ engine: MachineOptions.Engine, _ delivery: Delivery) throws {
    let test = try TestMachine(engine)
    let (device, server) = try test.attach(
      replaceable: delivery == .vectors ? VectorDevice.self : PinDevice.self,
      Self.policy(signals: false))
    try Self.placeDeath(test, server)
    var script = AccessScript([.enableInterrupts])
    try setUp(delivery, &script, device)
    script.call(Self.dying)
    script.write(Self.window + (delivery == .pin ? 16 : 8), 2)
    script.append(.awaitInterrupts(vector: 0x62, count: 1))
    // What is masked stays so.
    if delivery == .vectors {
      script.write(Self.window + 8, 1)
      script.write(Self.window + 8, 2)
      script.append(.awaitInterrupts(vector: 0x62, count: 2))
    }
    #expect(try test.run(script) == .exited(0))
    #expect(try test.interruptCount(0x61) == 0)
    #expect(test.events.wait { $0.contains(where: Self.isReturn) })
  }

  @Test(
    "V12: what a device may have raised while nobody saw it is signalled once when it is back",
    arguments: TestMachine.engines, Delivery.allCases)
  func signals(_ engine: MachineOptions.Engine, _ delivery: Delivery) throws {
    let test = try TestMachine(engine)
    let (device, server) = try test.attach(
      replaceable: delivery == .vectors ? VectorDevice.self : PinDevice.self, Self.policy())
    try Self.placeDeath(test, server)
    var script = AccessScript([.enableInterrupts])
    try setUp(delivery, &script, device)
    script.call(Self.dying)
    script.append(.awaitInterrupts(vector: 0x62, count: 1))
    #expect(try test.run(script) == .exited(0))
    // What is masked waits until it is unmasked.
    if delivery == .vectors { #expect(try test.interruptCount(0x61) == 0) }
  }

  /// Has the second interrupt of a device arrive as 0x62.
  private func setUp(
    _ delivery: Delivery, _ script: inout AccessScript, _ device: AttachedDevice
  ) throws {
    switch delivery {
    case .pin:
      script.place(slot: 1, [0: Self.window])
      script.append(
        .onInterrupt(vector: 0x62, .write(at: GuestAddress(Self.window + 12), 0, byteCount: 4)))
      script.redirect(line: UInt64(Machine.line(slot: 1, pin: 1)), to: 0x62)
    case .messages:
      let msi = UInt64(try #require(device.profile.capabilities.msi))
      script.place(slot: 1, [0: Self.window])
      script.writeConfiguration(slot: 1, msi + 4, 0xfee0_0000)
      script.writeConfiguration(slot: 1, msi + 12, 0x64, byteCount: 2)
      // Four messages: the numbers of the vectors take the place of the low bits.
      script.writeConfiguration(slot: 1, msi + 2, 1 | 2 << 4, byteCount: 2)
      script.writeConfiguration(slot: 1, msi + 12, 0x60, byteCount: 2)
    case .vectors:
      let msix = UInt64(try #require(device.profile.capabilities.msix))
      let table = Self.window + 0x1_1000
      script.place(slot: 1, [0: Self.window, 4: Self.window + 0x1_0000])
      for vector in 1...2 as ClosedRange<UInt64> {
        script.write(table + vector * 16, 0xfee0_0000)
        script.write(table + vector * 16 + 8, 0x60 + vector)
      }
      script.write(table + 2 * 16 + 12, 0)
      script.writeConfiguration(slot: 1, msix + 2, 0x8000, byteCount: 2)
    }
  }

  // MARK: Paths

  @Test(
    "V12, I2: what leads to a dead server is gone at once, and the next server is reached in every way",
    arguments: TestMachine.engines)
  func paths(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (device, server) = try test.attach(replaceable: PathDevice.self, Self.policy())
    let window = try #require(device.placements.first).window
    let events = test.events
    let gap = Mutex<[RegionPartPath]>([])
    let space = test.machine.space
    try space.place(
      CallHandler { [weak space] in
        server.die()
        _ = events.wait { $0.contains(where: Self.isLoss) }
        gap.withLock { $0 = window.usage.map(\.part.path) }
        #expect(window.events.isEmpty)
        #expect(space?.ioRegions.regions(in: .memory).isEmpty ?? false)
        do { try server.start() } catch { Issue.record("no server: \(error)") }
      }, in: .port, at: GuestAddress(Self.dying), byteCount: 1)
    try space.place(
      CallHandler { _ = events.wait { $0.contains(where: Self.isReturn) } }, in: .port,
      at: GuestAddress(Self.looking), byteCount: 1)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.write(Self.window + 0x1010, 0x11)
    script.write(Self.window + 0x2008, 0x22)
    script.write(Self.window + 0x3000, 5)
    script.append(.poll(at: GuestAddress(Self.window + 4), byteCount: 4, until: 1))
    script.call(Self.dying)
    // It waits, and finds memory that has forgotten everything.
    script.read(Self.window + 0x1010, into: 0)
    script.call(Self.looking)
    script.read(Self.window + 0x2008, into: 1)
    script.write(Self.window + 0x1010, 0x33)
    script.read(Self.window + 0x1010, into: 2)
    script.write(Self.window + 0x2008, 0x44)
    script.read(Self.window + 0x2008, into: 3)
    for count in 1...3 as ClosedRange<UInt64> {
      script.write(Self.window + 0x3000, 5)
      script.append(.poll(at: GuestAddress(Self.window + 4), byteCount: 4, until: count))
    }
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(4) == [0, 0, 0x33, 0x44])
    #expect(gap.withLock(\.self).allSatisfy { $0 == .message }, "\(gap.withLock(\.self))")
    #expect(window.fallbacks.isEmpty && window.events.count == 2)
    let port = window.usage.first { $0.part.offset == RegionOffset(0x1000) }
    // The read that waited is counted where it was answered.
    #expect(try #require(port?.counts[.mailbox]) >= 2)
    // Each ring was counted once; a second mechanism would count it again, even later.
    #expect(space.read(at: GuestAddress(Self.window + 4), byteCount: 4) == 3)
  }

  // MARK: The end of the wait

  @Test(
    "V12: a guest waits no longer than the policy says, and then reads all ones",
    arguments: TestMachine.engines)
  func bounded(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (device, server) = try test.attach(
      replaceable: PinDevice.self, Self.policy(.milliseconds(200)))
    try test.machine.space.place(
      CallHandler { server.die() }, in: .port, at: GuestAddress(Self.dying), byteCount: 1)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.call(Self.dying)
    script.read(Self.window, into: 0)
    script.readConfiguration(slot: 1, 0, into: 1)
    script.write(Self.window + 4, 1)
    script.writeConfiguration(slot: 1, 4, 0, byteCount: 2)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(2) == [Self.none, Self.none])
    #expect(test.events.wait { $0.contains(where: Self.isGivingUp) })
    #expect(device.isLost)
  }

  @Test(
    "V12: a machine stops and closes while its guest waits for a server",
    arguments: TestMachine.engines, [false, true])
  func stops(_ engine: MachineOptions.Engine, inConfiguration: Bool) throws {
    let test = try TestMachine(engine)
    let (_, server) = try test.attach(replaceable: PinDevice.self, Self.policy())
    let events = test.events
    let machine = test.machine
    try machine.space.place(
      CallHandler { [weak machine] in
        server.die()
        guard let machine else { return }
        do {
          try WorkThread(name: "test") { [weak machine] in
            _ = events.wait { $0.contains(where: Self.isLoss) }
            machine?.stop()
          }.detach()
        } catch { Issue.record("no thread: \(error)") }
      }, in: .port, at: GuestAddress(Self.dying), byteCount: 1)
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.call(Self.dying)
    if inConfiguration {
      script.writeConfiguration(slot: 1, 4, 7, byteCount: 2)
    } else {
      script.read(Self.window, into: 0)
    }
    script.append(.awaitInterrupts(vector: 0x60, count: 1))
    #expect(try test.run(script) == .stopped)
    // Nothing was given up: the server could still come.
    #expect(!test.events.value.contains(where: Self.isGivingUp))
    machine.close()
  }

  @Test("V12: an access of one's own is interrupted again and again while it waits")
  func interrupted() throws {
    let test = try TestMachine(.software)
    let (device, server) = try test.attach(replaceable: PinDevice.self, Self.policy())
    device.writeConfiguration(UInt32(Self.window), at: 0x10, byteCount: 4)
    device.writeConfiguration(7, at: 4, byteCount: 2)
    server.die()
    var progress = AccessProgress()
    let access = GuestAccess.read(at: GuestAddress(Self.window), byteCount: 4)
    for _ in 0..<3 {
      #expect(test.machine.space.access(access, &progress) == .interrupted)
      #expect(device.readConfiguration(at: 0, byteCount: 4) == nil)
      #expect(!device.writeConfiguration(7, at: 4, byteCount: 2))
    }
    try server.start()
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    var outcome = AccessOutcome.interrupted
    while outcome == .interrupted, MonotonicTime.now < deadline {
      outcome = test.machine.space.access(access, &progress)
    }
    #expect(outcome == .done(0x1122_3344))
  }

  @Test("E16: another device does not come back in the place of the first")
  func impostor() throws {
    let test = try TestMachine(.software)
    let (device, server) = try test.attach(replaceable: PinDevice.self, Self.policy())
    server.die()
    try server.start(VectorDevice.self)
    #expect(test.events.wait { $0.contains(where: Self.isGivingUp) })
    #expect(!test.events.value.contains(where: Self.isReturn))
    #expect(device.isLost)
  }

  // MARK: Accesses in flight

  @Test(
    "V12: an access in flight is repeated where it only reads; else it gives all ones, and that is told",
    arguments: TestMachine.engines, [false, true])
  func inFlight(_ engine: MachineOptions.Engine, isRepeatable: Bool) throws {
    let test = try TestMachine(engine)
    var policy = Self.policy()
    if isRepeatable {
      policy.repeatableReads = [
        RepeatableReads(region: 0, offset: RegionOffset(0), byteCount: 4096)
      ]
    }
    let (_, server) = try test.attach(replaceable: HesitantDevice.self, policy)
    let asked = HesitantDevice.asked
    let count = asked.value
    try WorkThread(name: "test") {
      // Once the access is in flight, its server dies; the next one answers.
      _ = asked.wait { $0 > count }
      server.die()
      do { try server.start(ReadyDevice.self) } catch { Issue.record("no server: \(error)") }
    }.detach()
    var script = AccessScript()
    script.place(slot: 1, [0: Self.window])
    script.read(Self.window, into: 0)
    script.write(Self.window, 0x5a)
    script.read(Self.window, into: 1)
    #expect(try test.run(script) == .exited(0))
    #expect(try test.results(2) == [isRepeatable ? 0 : Self.none, 0x5a])
    if isRepeatable {
      #expect(test.events.wait { $0.contains(where: Self.isReturn) })
      #expect(!test.events.value.contains(where: Self.isInterruption))
    } else {
      #expect(test.events.wait { $0.contains(where: Self.isInterruption) })
    }
  }
}

/// A device that never answers an access, and counts how often it was read.
private final class HesitantDevice: PCIDevice {
  static let declaration = ReadyDevice.declare(
    .handler("Nothing", byteCount: 4096, "Waits."))
  static let asked = Observed(0)

  init(_ function: PCIFunction) throws {
    let handler = SilentHandler { Self.asked.update { $0 += 1 } }
    try function.setHandler(handler, for: "Nothing", in: 0)
  }

  func reset(_ kind: ResetKind) {}
}

/// The same device, as one that has memory.
private final class ReadyDevice: PCIDevice {
  static let declaration = declare(.memory("Memory", byteCount: 4096, "Holds what is written."))

  static func declare(_ content: BARContent) -> PCIDeviceDeclaration {
    PCIDeviceDeclaration(name: "hesitant", summary: "For tests.") { _ in
      PCIHardware(
        identity: PCIIdentity(vendor: 0x1234, device: 0x0014),
        bars: [BAR(0, .memory32, byteCount: 4096, [content])])
    }
  }

  init(_ function: PCIFunction) throws {}

  func reset(_ kind: ResetKind) {}
}
