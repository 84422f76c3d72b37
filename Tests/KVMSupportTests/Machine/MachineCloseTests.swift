import DeviceModel
import Glibc
import Synchronization
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// How a machine ends, and what is left of it.
@Suite(.serialized, .timeLimit(.minutes(10))) struct MachineCloseTests {
  /// Longer than a test may take: whoever waits for the server's answer fails.
  private static let patience = Duration.seconds(3600)

  @Test(
    "V12: a machine stops while its guest's configuration write waits for a stalled server",
    arguments: TestMachine.engines)
  func stopsWhileStalled(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let (_, server) = try test.attach(PinDevice.self, timeout: Self.patience)
    let release = EventDescriptorBox(try EventDescriptor())
    defer { release.event.signal() }
    let machine = test.machine
    let stopper = Mutex<Thread?>(nil)
    try machine.space.place(
      // Weak: the machine keeps what is placed in its space.
      CallHandler { [weak machine] in
        guard let machine else { return }
        server.stall(until: release)
        stopper.withLock {
          $0 = try? Thread(
            WorkThread(name: "test") {
              usleep(100_000)
              machine.stop()
            })
        }
      }, in: .port, at: GuestAddress(0x500), byteCount: 1)
    var script = AccessScript()
    script.append(.write(.port, at: GuestAddress(0x500), 1, byteCount: 1))
    script.writeConfiguration(slot: 1, 4, 7, byteCount: 2)
    script.append(.awaitInterrupts(vector: 0x60, count: 1))
    #expect(try test.run(script) == .stopped)
    stopper.withLock { $0 }?.thread.join()
    machine.close()
  }

  @Test("V12: a machine closes while others wait for a stalled server")
  func closesWhileStalled() throws {
    let test = try TestMachine(.software)
    let (device, server) = try test.attach(PinDevice.self, timeout: Self.patience)
    let release = EventDescriptorBox(try EventDescriptor())
    defer { release.event.signal() }
    server.stall(until: release)
    let writer = try WorkThread(name: "test") { device.writeConfiguration(7, at: 4, byteCount: 2) }
    // The machine's own thread for the device waits for the same lock.
    device.surroundings.changes.note(0)
    usleep(100_000)
    test.machine.close()
    writer.join()
    #expect(device.isLost)
  }

  @Test("E16: a server that says without end that a region has changed is asked once at a time")
  func changesWithoutEnd() throws {
    let test = try TestMachine(.software)
    let (device, server) = try test.attach(PinDevice.self)
    let release = EventDescriptorBox(try EventDescriptor())
    server.stall(until: release)
    // What there is not is not asked about, and nothing is told of it.
    for region in [3, 7, -1, Int.max] { device.surroundings.changes.note(region) }
    for _ in 0..<1000 { device.surroundings.changes.note(0) }
    release.event.signal()
    #expect(test.events.wait { !$0.isEmpty })
    usleep(200_000)
    let regions = test.events.value.map { event in
      if case .deviceReplanned(_, let region) = event { region } else { -1 }
    }
    #expect(regions == [0] || regions == [0, 0])
  }

  @Test(
    "V12: nothing is left of a machine that was closed", arguments: TestMachine.engines)
  func leavesNothing(_ engine: MachineOptions.Engine) throws {
    weak var space: AddressSpace?
    weak var bridge: PCIHostBridge?
    weak var client: DeviceClient?
    var devices: [Weak] = []
    do {
      let test = try TestMachine(engine)
      for kind in [PinDevice.self, VectorDevice.self, PathDevice.self]
        as [any (PCIDevice & SendableMetatype).Type]
      {
        let (device, _) = try test.attach(kind)
        devices.append(Weak(device: device))
        client = device.session
      }
      var script = AccessScript()
      script.place(slot: 1, [0: 0xe000_0000])
      script.place(slot: 2, [0: 0xe001_0000, 4: 0xe002_0000])
      script.place(slot: 3, [0: 0xe004_0000])
      script.read(0xe000_0000, into: 0)
      #expect(try test.run(script) == .exited(0))
      space = test.machine.space
      bridge = test.machine.bridge
      test.machine.close()
    }
    // What other threads held last goes a moment later.
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while space != nil || bridge != nil || client != nil
      || devices.contains(where: { $0.device != nil }), MonotonicTime.now < deadline
    {
      usleep(1000)
    }
    #expect(space == nil)
    #expect(bridge == nil)
    #expect(client == nil)
    #expect(devices.count == 3 && devices.allSatisfy { $0.device == nil })
  }

  private struct Weak {
    weak var device: AttachedDevice?
  }

  private struct Thread: @unchecked Sendable {
    // Joined once, by the test.
    let thread: WorkThread
    init(_ thread: WorkThread) { self.thread = thread }
  }
}
