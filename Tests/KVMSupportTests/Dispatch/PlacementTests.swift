import CVFIOUserLinux
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// Where windows are, and how they move.
@Suite("Placement") struct PlacementTests {
  private func make(
    _ byteCount: UInt64, _ value: UInt64
  ) -> (bar: RegionWindow, region: RecordingRegion) {
    let region = RecordingRegion(byteCount: byteCount) { _, _ in value }
    return (
      RegionWindow(
        region: region as any DeviceRegion, plan: RegionPlan(messagesFor: region.info)),
      region
    )
  }

  struct Overlap: Sendable {
    var address: UInt64
    var byteCount: UInt64
    var errno: Errno?
  }

  /// Beside a window of [0x1000, 0x2000) and one that ends the space.
  static let overlaps: [Overlap] = [
    Overlap(address: 0xf00, byteCount: 0x100),
    Overlap(address: 0xf00, byteCount: 0x101, errno: .fileExists),
    Overlap(address: 0x1fff, byteCount: 1, errno: .fileExists),
    Overlap(address: 0x2000, byteCount: 1),
    Overlap(address: 0x1800, byteCount: 1, errno: .fileExists),
    Overlap(address: 0, byteCount: 0x10000, errno: .fileExists),
    Overlap(address: .max, byteCount: 1, errno: .fileExists),
    Overlap(address: .max, byteCount: 2, errno: .invalidArgument),
    Overlap(address: .max - 0x1000, byteCount: 0x1002, errno: .invalidArgument),
    Overlap(address: .max - 0x1000, byteCount: 1),
    Overlap(address: 0x5000, byteCount: 0, errno: .invalidArgument),
  ]

  @Test("M9: windows share no byte, and none leaves its space", arguments: overlaps)
  func bounds(entry: Overlap) throws {
    let machine = DispatchMachine()
    try machine.space.place(make(0x1000, 1).bar, at: GuestAddress(0x1000))
    try machine.space.place(make(0x1000, 2).bar, at: GuestAddress(.max - 0xfff))
    let new = make(entry.byteCount, 3).bar
    if let errno = entry.errno {
      #expect(throws: errno) {
        try machine.space.place(new, at: GuestAddress(entry.address))
      }
      #expect(machine.space.placement(of: new) == nil)
    } else {
      try machine.space.place(new, at: GuestAddress(entry.address))
      #expect(machine.read(entry.address, 1) == 3)
    }
    #expect(machine.read(0x1000, 1) == 1)
    #expect(machine.read(.max, 1) == 2)
  }

  @Test("M9: a BAR that is disabled answers nothing, and answers elsewhere when it was moved")
  func moves() throws {
    let machine = DispatchMachine()
    let (bar, region) = make(0x100, 0x5a)
    #expect(machine.read(0x8000, 4) == 0xffff_ffff)
    try machine.space.place(bar, at: GuestAddress(0x8000))
    #expect(machine.read(0x8000, 4) == 0x5a)
    try machine.space.place(bar, at: GuestAddress(0x8080))
    #expect(machine.read(0x8000, 4) == 0xffff_ffff)
    #expect(machine.read(0x8084, 4) == 0x5a)
    #expect(region.messages.value.last?.offset == 4)
    // Refused: it stays where it is.
    try machine.space.place(make(8, 1).bar, at: GuestAddress(0x100))
    #expect(throws: Errno.fileExists) {
      try machine.space.place(bar, at: GuestAddress(0x50))
    }
    #expect(machine.read(0x8080, 4) == 0x5a)
    machine.space.remove(bar)
    machine.space.remove(bar)
    #expect(machine.read(0x8080, 4) == 0xffff_ffff)
    machine.write(1, 0x8080, 4)
    // Ports are another space.
    try machine.space.place(bar, in: .port, at: GuestAddress(0xc000))
    #expect(machine.read(0xc000, 2, .port) == 0x5a)
    #expect(machine.read(0xc000, 2) == 0xffff)
    #expect(throws: Errno.invalidArgument) {
      try machine.space.place(bar, in: .port, at: GuestAddress(0xff01))
    }
  }

  @Test(
    "M9: BARs that move and vanish while vCPUs access answer right or not at all",
    arguments: MixedBARTests.Backing.allCases)
  func movesUnderLoad(backing: MixedBARTests.Backing) throws {
    let bar = try MixedBAR()
    let machine = backing.machine
    let addresses: [UInt64] = [0x10_0000, 0x10_1000, 0x20_0000]
    let isOver = Observed(false)
    let hits = Observed(0)
    let vcpus = (0..<2).map { number in
      DispatchThread {
        while !isOver.value {
          for address in addresses {
            // Which part this is, if any, depends on where the window is at this moment.
            let value = machine.read(address + 0x2008, 4)
            // 0x3008 is a message's answer, while the provider has let go of the region.
            var valid: Set<UInt64> = [0x2008, 0xffff_ffff, 0]
            if backing == .hypervisorWithRegions { valid.insert(0x3008) }
            #expect(valid.contains(value), "a read gave \(value)")
            if value == 0x2008 { hits.update { $0 += 1 } }
            machine.write(UInt64(number), address + 0x2010, 4)
          }
        }
      }
    }
    var round = 0
    while round < 150 || hits.value == 0 {
      try machine.space.place(bar.window, at: GuestAddress(addresses[round % 3]))
      if round % 5 == 4 { machine.space.remove(bar.window) }
      round += 1
    }
    isOver.update { $0 = true }
    for vcpu in vcpus { vcpu.join() }
    // The new place overlaps the old one by pages: had the old slot still been there, the hypervisor
    // would have refused the new one.
    if backing != .refusingHypervisor { #expect(bar.window.fallbacks.isEmpty) }
    machine.space.remove(bar.window)
    let state = machine.hypervisor?.state.value
    #expect(state?.slots.count ?? 0 == 0)
    #expect(state?.events.count ?? 0 == 0)
    #expect(machine.hypervisor?.table?.regions(in: .memory).count ?? 0 == 0)
    #expect(machine.space.ioRegions.regions(in: .memory).isEmpty)
    #expect(machine.events.value.isEmpty)
    bar.end()
  }

  @Test("M9: what leaves is withdrawn from the hypervisor before anything takes its place")
  func order() throws {
    let bar = try MixedBAR()
    let hypervisor = StandInHypervisor(providesRegions: true)
    let machine = DispatchMachine(hypervisor)
    try machine.space.place(bar.window, at: GuestAddress(0x10_0000))
    try machine.space.place(bar.window, at: GuestAddress(0x10_1000))
    let log = hypervisor.state.value.log
    let events = ["300", "308", "310", "2010"]
    let expected =
      ["add 0x101000"] + events.map { "assign 0x\(Self.hex(0x10_0000, $0))" }
      + events.map { "deassign 0x\(Self.hex(0x10_0000, $0))" } + ["remove 0x101000"]
      + ["add 0x102000"] + events.map { "assign 0x\(Self.hex(0x10_1000, $0))" }
    #expect(log == expected)
    #expect(
      hypervisor.table?.regions(in: .memory).map(\.address.rawValue) == [0x10_3000, 0x10_3100])
    bar.end()
  }

  private static func hex(_ base: UInt64, _ offset: String) -> String {
    String(base + (UInt64(offset, radix: 16) ?? 0), radix: 16)
  }

  @Test("I1 I21: an injected provider takes the accesses over, and they cause no exit")
  func provider() throws {
    let bar = try MixedBAR()
    let hypervisor = StandInHypervisor(providesRegions: true)
    let machine = DispatchMachine(hypervisor)
    try machine.space.place(bar.window, at: GuestAddress(0x10_0000))
    #expect(machine.space.ioRegions.regions(in: .memory).isEmpty)
    #expect(hypervisor.table?.regions(in: .memory).map(\.userData) == [7, 8])
    #expect(machine.read(0x10_2004, 4) == 0x2004)
    #expect(hypervisor.state.value.handledCount == 1)
    let counts = bar.window.usage.map(\.counts).filter { !$0.isEmpty }
    #expect(counts.isEmpty)
    // Its server is gone: the provider dropped the regions, and the accesses exit.
    bar.end()
    #expect(machine.read(0x10_2004, 4) == 0x3004)
    #expect(bar.region.messages.value == [.init(offset: 0x2004, byteCount: 4)])
  }

  @Test("I23 M9: a window gets another plan where it is, and its old ports are given up")
  func replan() throws {
    let bar = try MixedBAR()
    let hypervisor = StandInHypervisor()
    let machine = DispatchMachine(hypervisor)
    try machine.space.place(bar.window, at: GuestAddress(0x10_0000))
    #expect(machine.read(0x10_2004, 4) == 0x2004)
    machine.space.replan(bar.window, RegionPlan(messagesFor: bar.region.info))
    #expect(machine.space.ioRegions.regions(in: .memory).isEmpty)
    #expect(hypervisor.state.value.slots.isEmpty && hypervisor.state.value.events.isEmpty)
    #expect(machine.read(0x10_2004, 4) == 0x3004)
    #expect(machine.read(0x10_1000, 4) == 0x2000)
    // What the monitor answers itself it answers still.
    #expect(machine.read(0x10_0204, 4) == 0x3004)
    bar.end()
  }

  @Test("I1: ranges set by hand lie over windows and handlers, but not over memory")
  func rangesByHand() throws {
    let pair = try PortPair()
    let device = pair.serve { 0xaa00 + $0.offset }
    let machine = DispatchMachine()
    try machine.space.place(make(0x1000, 0x77).bar, at: GuestAddress(0x10000))
    let memory = try SharedMemory(byteCount: 4096)
    try machine.space.place(
      MemorySlot(address: GuestAddress(0x11000), memory: memory, byteCount: 4096))
    try machine.space.set(
      IORegionAssignment(address: GuestAddress(0x10f00), byteCount: 0x200, port: pair.port))
    #expect(machine.read(0x10eff, 1) == 0x77)
    #expect(machine.read(0x10f00, 2) == 0xaa00)
    machine.write(0x1234, 0x11000, 2)
    #expect(try memory.readWord(at: 0, byteCount: 2) == 0x1234)
    #expect(throws: Errno.noSuchFileOrDirectory) {
      try machine.space.set(
        IORegionAssignment(address: GuestAddress(0x10f00), byteCount: 0x1ff, port: nil))
    }
    try machine.space.set(
      IORegionAssignment(address: GuestAddress(0x10f00), byteCount: 0x200, port: nil))
    #expect(machine.read(0x10f00, 2) == 0x77)
    pair.port.close()
    device.join()
  }

  @Test(
    "M9: memory is a slot of the hypervisor, or reached by the monitor", arguments: [false, true])
  func memory(hasHypervisor: Bool) throws {
    let hypervisor = hasHypervisor ? StandInHypervisor() : nil
    let machine = DispatchMachine(hypervisor)
    let memory = try SharedMemory(byteCount: 8192)
    try machine.space.place(
      MemorySlot(
        address: GuestAddress(0x4000), memory: memory, memoryOffset: 4096, byteCount: 4096))
    #expect(hypervisor?.state.value.slots.count ?? 1 == 1)
    machine.write(0x1122_3344_5566_7788, 0x4ff8, 8)
    #expect(machine.read(0x4ffa, 2) == 0x5566)
    #expect(try memory.readWord(at: 8184, byteCount: 8) == 0x1122_3344_5566_7788)
    #expect(throws: Errno.fileExists) {
      try machine.space.place(make(0x1000, 1).bar, at: GuestAddress(0x4fff))
    }
    #expect(throws: Errno.invalidArgument) {
      try machine.space.place(
        MemorySlot(address: GuestAddress(0x8000), memory: memory, byteCount: 8193))
    }
    try machine.space.removeMemory(at: GuestAddress(0x4000))
    #expect(machine.read(0x4000, 1) == 0xff)
    #expect(throws: Errno.noSuchFileOrDirectory) {
      try machine.space.removeMemory(at: GuestAddress(0x4000))
    }
  }

  @Test("I19: an access that is no access belongs to nobody", arguments: [-1, 0, 9, 1000])
  func absurdLengths(byteCount: Int) throws {
    let machine = DispatchMachine()
    let (bar, region) = make(0x1000, 1)
    try machine.space.place(bar, at: GuestAddress(0))
    #expect(machine.read(0, byteCount) == .max)
    machine.write(1, 0, byteCount)
    #expect(region.messages.value.isEmpty)
  }
}
