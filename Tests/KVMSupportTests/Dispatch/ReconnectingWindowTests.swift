import Testing

@testable import KVMSupport
@testable import VFIOUser

/// A BAR in front of a device whose process is replaced.
@Suite("Windows onto a device that comes back") struct ReconnectingWindowTests {
  private static let base: UInt64 = 0xe000_0000
  private static let paths: [RegionPath] = [
    RegionPath(
      offset: RegionOffset(0x100), byteCount: 0x100, kind: .ioregionfd(postsWrites: false)),
    RegionPath(offset: RegionOffset(0x300), byteCount: 4, kind: .ioeventfd(matching: nil)),
  ]

  private static func plan(_ client: ReconnectingClient) throws -> RegionPlan {
    try client.withClient(isRepeatable: true) { client throws(ClientError) in
      try RegionPlan(asking: client.region(at: 0))
    }
  }

  @Test(
    "V12, I2: a BAR goes on by messages when its server is replaced, and by all paths once it is planned anew",
    arguments: MixedBARTests.Backing.allCases)
  func comesBack(backing: MixedBARTests.Backing) throws {
    let first = try LiveDevice(Self.paths)
    let path = Observed(first.socketPath)
    let restored = Observed(0)
    var options = ClientOptions()
    options.timeout = .seconds(60)
    let client = try ReconnectingClient.connect(
      options: options, policy: .reconnect(within: .seconds(60)),
      onEvent: { if case .restored = $0 { restored.update { $0 += 1 } } }
    ) { () throws(ClientError) in
      try DeviceClient.openSocket(path.value, timeout: .seconds(60))
    }
    let region = try client.region(at: 0)
    let window = RegionWindow(region: region, plan: try Self.plan(client))
    let machine = backing.machine
    try machine.space.place(window, at: GuestAddress(Self.base))
    machine.write(5, Self.base + 0x100, 4)
    machine.write(6, Self.base + 0x10, 4)
    machine.write(7, Self.base + 0x300, 4)
    #expect(first.take(3) == [.write(0x100, 5, 4), .write(0x10, 6, 4), .notified(0x300)])

    first.finish()
    let second = try LiveDevice(Self.paths)
    path.update { $0 = second.socketPath }
    #expect(restored.wait { $0 == 1 })
    // The first server's descriptor is closed; whatever this access gives, the next goes by message.
    _ = machine.read(Self.base + 0x1f0, 2)
    second.accesses.update { $0 = [] }
    machine.write(8, Self.base + 0x100, 4)
    #expect(second.take(1) == [.write(0x100, 8, 4)])
    #expect(machine.read(Self.base + 0x102, 2) == 0x5102)
    #expect(second.take(1) == [.read(0x102, 2)])

    machine.space.replan(window, try Self.plan(client))
    machine.write(9, Self.base + 0x100, 4)
    machine.write(10, Self.base + 0x10, 4)
    machine.write(11, Self.base + 0x300, 4)
    #expect(second.take(3) == [.write(0x100, 9, 4), .write(0x10, 10, 4), .notified(0x300)])
    #expect(window.usage.map(\.part.path).contains(.ioregionfd(postsWrites: false)))
    machine.space.remove(window)
    client.close()
    second.finish()
  }
}
