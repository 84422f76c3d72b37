import CVFIOUserLinux
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// Servers that die, stall or lie: the guest goes on, and the monitor hears of it once.
@Suite("Failures behind an address space") struct AddressSpaceFailureTests {
  private static let base: UInt64 = 0xe000_0000

  /// A region of 0x1000 bytes whose first 0x100 are an ioregionfd.
  private func window(
    _ region: RecordingRegion, _ port: any IORegionPort, postsWrites: Bool = false
  ) -> RegionWindow {
    var planner = RegionPlanner(region.info)
    planner.insert(
      RegionPart(
        offset: 0, byteCount: 0x100, path: .ioregionfd(postsWrites: postsWrites), port: port,
        userData: 3))
    return RegionWindow(region: region as any DeviceRegion, plan: planner.plan)
  }

  @Test("I2: when the server closes its end the region is dropped, and accesses exit again")
  func lastClose() throws {
    let pair = try PortPair()
    let region = RecordingRegion(byteCount: 0x1000) { offset, _ in 0x50 + offset }
    let window = window(region, pair.port)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let device = DispatchThread {
      #expect(pair.receive()?.userData == 3)
      pair.respond(1)
      pair.closeDevice()
    }
    #expect(machine.read(Self.base, 4) == 1)
    device.join()
    #expect(machine.space.ioRegions.regions(in: .memory).count == 1)
    // It was never sent, so it is carried out in the other way.
    #expect(machine.read(Self.base + 4, 4) == 0x54)
    machine.write(9, Self.base + 8, 2)
    #expect(machine.space.ioRegions.regions(in: .memory).isEmpty)
    #expect(
      region.messages.value == [
        .init(offset: 4, byteCount: 4), .init(offset: 8, byteCount: 2, value: 9),
      ])
    let events = machine.events.value
    #expect(events.map(\.kind) == [.portFailed(.closed)])
    #expect(events.first?.window === window)
  }

  enum Death: CaseIterable, Sendable { case dies, garbage, stalls }

  @Test(
    "E16: a server that dies, lies or stalls in an access costs all-ones and one event",
    arguments: Death.allCases, [false, true])
  func inAnAccess(death: Death, isWrite: Bool) throws {
    let pair = try PortPair(timeout: death == .stalls ? .milliseconds(100) : .seconds(60))
    let region = RecordingRegion(byteCount: 0x1000) { _, _ in 0x77 }
    let window = window(region, pair.port)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let device = DispatchThread {
      _ = pair.receive()
      switch death {
      case .dies: pair.closeDevice()
      case .garbage: pair.send([1, 2, 3])
      case .stalls: break
      }
    }
    if isWrite {
      machine.write(5, Self.base, 4)
    } else {
      #expect(machine.read(Self.base, 4) == 0xffff_ffff)
    }
    device.join()
    // It was sent, and nobody knows what became of it: it is not repeated.
    #expect(region.messages.value.isEmpty)
    #expect(machine.read(Self.base, 4) == 0x77)
    let expected: IORegionFailure =
      switch death {
      case .dies: .lost
      case .garbage: .garbage
      case .stalls: .timedOut
      }
    #expect(machine.events.value.map(\.kind) == [.portFailed(expected)])
    #expect(window.usage.map(\.counts) == [[.message: 1], [:]])
  }

  @Test("E16 I16: several vCPUs meet the death of a server, and there is one event")
  func manyWitnesses() throws {
    let pair = try PortPair()
    let region = RecordingRegion(byteCount: 0x1000) { _, _ in 0x77 }
    let window = window(region, pair.port)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let values = Observed<[UInt64]>([])
    let vcpus = (0..<4).map { _ in
      DispatchThread {
        let value = machine.read(Self.base, 4)
        values.update { $0.append(value) }
      }
    }
    _ = pair.receive()
    while pair.port.waiterCount < 3 { usleep(100) }
    pair.closeDevice()
    for vcpu in vcpus { vcpu.join() }
    // One was sent; the others exit again.
    #expect(values.value.sorted() == [0x77, 0x77, 0x77, 0xffff_ffff])
    #expect(machine.events.value.count == 1)
  }

  @Test("E16: messages that fail give all-ones, and one event for each kind of failure")
  func failingMessages() throws {
    let region = RecordingRegion(byteCount: 0x1000) { _, _ in 1 }
    let window = RegionWindow(
      region: region as any DeviceRegion, plan: RegionPlan(messagesFor: region.info))
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let refused = ClientError(.rejected, .invalidArgument, "no")
    let late = ClientError(.timedOut, .timedOut, "late")
    let gone = ClientError(.disconnected, .connectionReset, "gone")
    for error in [refused, late, late, gone, gone] {
      region.failure.update { $0 = error }
      #expect(machine.read(Self.base, 2) == 0xffff)
      machine.write(1, Self.base, 2)
    }
    // A refusal is the device's answer.
    #expect(machine.events.value.map(\.kind) == [.regionFailed(late), .regionFailed(gone)])
    region.failure.update { $0 = nil }
    #expect(machine.read(Self.base, 2) == 1)
    // It was back in between: another loss.
    region.failure.update { $0 = gone }
    for _ in 0..<2 { #expect(machine.read(Self.base, 2) == 0xffff) }
    #expect(
      machine.events.value.map(\.kind)
        == [.regionFailed(late), .regionFailed(gone), .regionFailed(gone)])
  }

  @Test("I2: one port for regions of two machines; its end ends both, each with one event")
  func twoMachines() throws {
    let pair = try PortPair()
    let device = pair.serve { $0.userData &* 1000 &+ $0.offset }
    let machines = [DispatchMachine(), DispatchMachine(StandInHypervisor())]
    let regions = machines.map { _ in
      RecordingRegion(byteCount: 0x1000) { _, _ in 0x77 }
    }
    for (index, machine) in machines.enumerated() {
      var planner = RegionPlanner(regions[index].info)
      for part in 0..<2 {
        planner.insert(
          RegionPart(
            offset: UInt64(part) * 0x800, byteCount: 0x100,
            path: .ioregionfd(postsWrites: false), port: pair.port,
            userData: UInt64(10 * index + part)))
      }
      try machine.space.place(
        RegionWindow(region: regions[index] as any DeviceRegion, plan: planner.plan),
        at: GuestAddress(Self.base))
    }
    let vcpus = machines.enumerated().map { index, machine in
      DispatchThread {
        for round in UInt64(0)..<200 {
          let offset = round % 0x100 / 8 * 8
          #expect(machine.read(Self.base + offset, 8) == UInt64(10 * index) * 1000 + offset)
          #expect(
            machine.read(Self.base + 0x800 + offset, 8)
              == UInt64(10 * index + 1) * 1000 + offset)
        }
      }
    }
    for vcpu in vcpus { vcpu.join() }
    pair.port.close()
    device.join()
    for machine in machines {
      #expect(machine.read(Self.base, 4) == 0x77)
      #expect(machine.read(Self.base + 0x800, 4) == 0x77)
      #expect(machine.events.value.map(\.kind) == [.portFailed(.closed)])
    }
  }

  @Test("I15: who has only the descriptor changes no region, whatever it sends")
  func controlPlane() throws {
    let pair = try PortPair()
    let region = RecordingRegion(byteCount: 0x1000) { _, _ in 0x77 }
    let window = window(region, pair.port)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let before = machine.space.ioRegions.regions(in: .memory).map {
      [$0.address.rawValue, $0.byteCount, $0.userData, UInt64($0.flags.rawValue)]
    }
    let device = DispatchThread {
      _ = pair.receive()
      // What would describe a region, if there were such a message: 64 bytes of struct kvm_ioregion.
      var bytes = [UInt8](repeating: 0, count: 64)
      bytes[8] = 0xff
      bytes[24] = 0xff
      pair.respond(5)
      pair.send(Array(bytes.prefix(32)))
    }
    #expect(machine.read(Self.base, 4) == 5)
    device.join()
    let after = machine.space.ioRegions.regions(in: .memory).map {
      [$0.address.rawValue, $0.byteCount, $0.userData, UInt64($0.flags.rawValue)]
    }
    #expect(before == after)
    #expect(machine.read(Self.base + 0x100, 4) == 0x77)
  }

  @Test("I14: an access of an address space goes on after a signal, also one over several parts")
  func interrupted() throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let region = RecordingRegion(byteCount: 0x1000) { _, count in
      UInt64.max.truncated(toByteCount: count) & 0x2222_2222_2222_2222
    }
    let window = window(region, pair.port)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let interruptions = Observed(0)
    let vcpu = DispatchThread {
      var progress = AccessProgress()
      let access = GuestAccess.read(at: GuestAddress(Self.base + 0xfc), byteCount: 8)
      while true {
        switch machine.space.access(access, &progress) {
        case .interrupted:
          #expect(progress.isUnderWay)
          interruptions.update { $0 += 1 }
        case .done(let value):
          #expect(value == 0x2222_2222_1111_1111)
          #expect(!progress.isUnderWay)
          return
        }
      }
    }
    #expect(pair.receive()?.offset == 0xfc)
    while interruptions.value < 3 {
      vcpu.signal(SIGUSR1)
      usleep(200)
    }
    // The window moves away meanwhile: the access ends where it began.
    try machine.space.place(window, at: GuestAddress(0x1000))
    pair.respond(0x1111_1111)
    vcpu.join()
    #expect(pair.receive(isWaiting: false) == nil)
    #expect(region.messages.value == [.init(offset: 0x100, byteCount: 4)])
  }
}
