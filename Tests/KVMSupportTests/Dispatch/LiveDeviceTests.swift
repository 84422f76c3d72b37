import CVFIOUserLinux
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// The monitor's dispatch in front of a real server.
@Suite("Dispatch to a live device") struct LiveDeviceTests {
  private static let base: UInt64 = 0xe000_0000
  private static let paths: [RegionPath] = [
    RegionPath(
      offset: RegionOffset(0x100), byteCount: 0x100, kind: .ioregionfd(postsWrites: false)),
    RegionPath(
      offset: RegionOffset(0x2000), byteCount: 0x100, kind: .ioregionfd(postsWrites: true),
      descriptorGroup: 1),
    RegionPath(offset: RegionOffset(0x300), byteCount: 4, kind: .ioeventfd(matching: nil)),
    RegionPath(offset: RegionOffset(0x308), byteCount: 2, kind: .ioeventfd(matching: 0xbeef)),
    RegionPath(offset: RegionOffset(0x110), byteCount: 4, kind: .ioeventfd(matching: nil)),
    RegionPath(offset: RegionOffset(0x400), byteCount: 0x100, kind: .postedMessage),
  ]

  @Test(
    "I1 I19 I22: a real device behind one BAR of all paths sees each access exactly once",
    arguments: MixedBARTests.Backing.allCases)
  func allPaths(backing: MixedBARTests.Backing) throws {
    let memory = try SharedMemory(byteCount: 0x3000)
    let device = try LiveDevice(Self.paths, memory: memory)
    let client = try device.connect()
    let region = try client.region(at: 0)
    let plan = try RegionPlan(asking: region)
    #expect(plan.fallbacks.isEmpty)
    #expect(
      plan.parts.map(\.path) == [
        .message, .ioregionfd(postsWrites: false), .message, .postedMessage, .message, .mapped,
        .ioregionfd(postsWrites: true), .message,
      ])
    #expect(plan.events.count == 3)
    let window = RegionWindow(region: region, plan: plan)
    let machine = backing.machine
    try machine.space.place(window, at: GuestAddress(Self.base))

    let writes: [(UInt64, UInt64, Int, LiveDevice.Access)] = [
      (0x10, 5, 4, .write(0x10, 5, 4)), (0x100, 0x1_0000_0001, 8, .write(0x100, 0x1_0000_0001, 8)),
      (0x1ff, 7, 1, .write(0x1ff, 7, 1)), (0x2000, 9, 4, .write(0x2000, 9, 4)),
      (0x2100, 9, 2, .write(0x2100, 9, 2)), (0x300, 77, 4, .notified(0x300)),
      (0x300, 77, 2, .write(0x300, 77, 2)), (0x308, 0xbeef, 2, .notified(0x308)),
      (0x308, 0xbeee, 2, .write(0x308, 0xbeee, 2)), (0x110, 1, 4, .notified(0x110)),
      (0x110, 1, 8, .write(0x110, 1, 8)), (0x400, 3, 4, .write(0x400, 3, 4)),
    ]
    for (offset, value, byteCount, access) in writes {
      machine.write(value, Self.base + offset, byteCount)
      #expect(device.take(1) == [access])
    }
    for offset: UInt64 in [0x10, 0x100, 0x1fe, 0x2008, 0x2100, 0x300, 0x110, 0x400] {
      #expect(machine.read(Self.base + offset, 2) == 0x5000 + offset)
      #expect(device.take(1) == [.read(offset, 2)])
    }
    // Mapped memory is shared with the device, which is told nothing.
    machine.write(0x1234_5678, Self.base + 0x1040, 4)
    #expect(try memory.load32(at: 0x1040) == 0x1234_5678)
    try memory.store32(0x8765_4321, at: 0x1044)
    #expect(machine.read(Self.base + 0x1044, 4) == 0x8765_4321)
    #expect(device.accesses.value.isEmpty)
    #expect(machine.events.value.isEmpty)
    machine.space.remove(window)
    client.close()
    device.finish()
  }

  @Test(
    "I21: an ioregionfd covers a whole region, whose handlers run on their loops both ways",
    arguments: [true, false])
  func wholeRegion(hasDescriptors: Bool) throws {
    let device = try LiveDevice([
      RegionPath(
        offset: RegionOffset(0x2000), byteCount: 0x1000, kind: .ioregionfd(postsWrites: false))
    ])
    let client = try device.connect()
    let region = try client.region(at: 0)
    let plan =
      hasDescriptors
      ? try RegionPlan(asking: region) : RegionPlan(region: region, descriptors: nil)
    let window = RegionWindow(region: region, plan: plan)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    for offset in stride(from: UInt64(0x2000), to: 0x3000, by: 0x80) {
      #expect(machine.read(Self.base + offset, 4) == 0x5000 + offset)
    }
    #expect(machine.read(Self.base, 4) == 0x5000)
    let counts = window.usage.last?.counts
    #expect(counts == (hasDescriptors ? [.ioregionfd: 32] : [.message: 33]))
    let threads = device.threads.value
    #expect(threads.map(\.count) == [1, 1])
    #expect(threads[0] != threads[1])
    client.close()
    device.finish()
  }

  @Test("I1 I23: with mailboxes agreed on, the same parts are reached through them")
  func mailboxes() throws {
    let device = try LiveDevice(Self.paths) { $0.extensions.insert(.mailbox) }
    let client = try device.connect { $0.offersMailbox = true }
    let region = try client.region(at: 0)
    let plan = try RegionPlan(asking: region)
    #expect(plan.fallbacks.isEmpty)
    let window = RegionWindow(region: region, plan: plan)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    for offset: UInt64 in [0x100, 0x1f8, 0x2000, 0x20f8] {
      #expect(machine.read(Self.base + offset, 8) == 0x5000 + offset)
      machine.write(offset, Self.base + offset, 4)
      #expect(device.take(2) == [.read(offset, 8), .write(offset, offset, 4)])
    }
    let used = window.usage.filter { !$0.counts.isEmpty }
    #expect(used.map(\.counts) == [[.mailbox: 4], [.mailbox: 4]])
    #expect(
      used.map(\.part.path) == [.mailbox(postsWrites: false), .mailbox(postsWrites: true)])
    client.close()
    #expect(machine.read(Self.base + 0x100, 4) == 0xffff_ffff)
    #expect(machine.read(Self.base + 0x100, 4) == 0xffff_ffff)
    device.finish()
  }

  @Test("I1: an ioregionfd answers while a slow command occupies the session")
  func besideTheSession() throws {
    let device = try LiveDevice(Self.paths)
    let client = try device.connect()
    let region = try client.region(at: 0)
    let window = RegionWindow(region: region, plan: try RegionPlan(asking: region))
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let isOver = Observed(false)
    let slow = DispatchThread {
      #expect(machine.read(Self.base + 0x800, 4) == 0x0403_0201)
      isOver.update { $0 = true }
    }
    #expect(device.held.wait { $0 != nil })
    for offset: UInt64 in [0x100, 0x2000] {
      #expect(machine.read(Self.base + offset, 4) == 0x5000 + offset)
    }
    #expect(!isOver.value)
    device.held.value?.complete(with: [1, 2, 3, 4])
    slow.join()
    client.close()
    device.finish()
  }

  @Test("I23: what an old client did not agree to is not sent, and messages do it")
  func oldPeers() throws {
    let device = try LiveDevice(Self.paths)
    let client = try device.connect { $0.offersPostedMessages = false }
    let region = try client.region(at: 0)
    let plan = try RegionPlan(asking: region)
    #expect(!plan.parts.contains { $0.path == .postedMessage })
    client.close()
    // Room for one descriptor: the rest are messages.
    let narrow = try device.connect { $0.maximumMessageDescriptorCount = 1 }
    let other = try narrow.region(at: 0)
    let few = try RegionPlan(asking: other)
    let count = Set(few.parts.compactMap { $0.port.map(ObjectIdentifier.init) }).count
    #expect(count + few.events.count == 1)
    let window = RegionWindow(region: other, plan: few)
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    for offset: UInt64 in [0x100, 0x2000] {
      #expect(machine.read(Self.base + offset, 4) == 0x5000 + offset)
    }
    narrow.close()
    device.finish()
  }

  @Test("I2 I23: paths that change at run time: the old ends are closed, and a new plan is made")
  func changedPaths() throws {
    let device = try LiveDevice(Self.paths)
    let changes = Observed<[Int]>([])
    let client = try device.connect {
      $0.onRegionChanged = { index in changes.update { $0.append(index) } }
    }
    let window = try {
      let region = try client.region(at: 0)
      return RegionWindow(region: region, plan: try RegionPlan(asking: region))
    }()
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    #expect(machine.read(Self.base + 0x100, 4) == 0x5100)
    device.setPaths([
      RegionPath(
        offset: RegionOffset(0x500), byteCount: 0x100, kind: .ioregionfd(postsWrites: false))
    ])
    // Whatever has been noticed of it, each access is answered.
    #expect(machine.read(Self.base + 0x100, 4) == 0x5100)
    try client.process()
    while changes.value.isEmpty { try client.serve(timeout: .milliseconds(10)) }
    #expect(changes.value == [0])
    let plan = try RegionPlan(asking: try client.region(at: 0))
    machine.space.replan(window, plan)
    #expect(machine.read(Self.base + 0x100, 4) == 0x5100)
    #expect(machine.read(Self.base + 0x500, 4) == 0x5500)
    let counts = window.usage.filter { !$0.counts.isEmpty }.map(\.counts)
    #expect(counts == [[.message: 1], [.ioregionfd: 1]])
    client.close()
    device.finish()
  }

  @Test("E16: the server goes while vCPUs access: each access ends, and the monitor hears of it")
  func death() throws {
    let device = try LiveDevice(Self.paths)
    let client = try device.connect()
    let region = try client.region(at: 0)
    let window = RegionWindow(region: region, plan: try RegionPlan(asking: region))
    let machine = DispatchMachine()
    try machine.space.place(window, at: GuestAddress(Self.base))
    let readCount = Observed(0)
    let vcpus = [UInt64(0x100), 0x2000, 0x10].map { offset in
      DispatchThread {
        var isLost = false
        while !isLost {
          let value = machine.read(Self.base + offset, 4)
          #expect(value == 0x5000 + offset || value == 0xffff_ffff)
          isLost = value == 0xffff_ffff
          readCount.update { $0 += 1 }
        }
      }
    }
    #expect(readCount.wait { $0 > 100 })
    device.end()
    for vcpu in vcpus { vcpu.join() }
    let kinds = machine.events.value.map(\.kind)
    let regionFailures = kinds.filter { if case .regionFailed = $0 { true } else { false } }
    #expect(regionFailures.count == 1)
    #expect(kinds.count <= 3)
    device.finish()
  }

  @Test("I19 E16: mapped memory that is not sealed is reached by messages")
  func unsealedMemory() throws {
    let raw = unsealedFile(0x3000)
    let memory = try SharedMemory(
      adopting: OwnedDescriptor(adopting: raw), offset: 0, byteCount: 0x3000, writable: true)
    let device = try LiveDevice([], memory: memory)
    let client = try device.connect()
    let region = try client.region(at: 0)
    #expect(region.mappedAreas.count == 1)
    let plan = try RegionPlan(asking: region)
    #expect(plan.parts.map(\.path) == [.message])
    #expect(plan.fallbacks.map(\.wish) == ["mapped"])
    #expect(plan.fallbacks.map(\.reason) == ["its file is not sealed against shrinking"])
    let window = RegionWindow(region: region, plan: plan)
    let machine = DispatchMachine(StandInHypervisor())
    try machine.space.place(window, at: GuestAddress(Self.base))
    #expect(machine.read(Self.base + 0x1000, 4) == 0x6000)
    #expect(device.take(1) == [.read(0x1000, 4)])
    client.close()
    device.finish()
  }
}

private func unsealedFile(_ byteCount: Int) -> CInt {
  var template = Array("/tmp/vfio-user-unsealed-XXXXXX".utf8CString)
  let descriptor = mkstemp(&template)
  unlink(template)
  _ = ftruncate(descriptor, byteCount)
  return descriptor
}
