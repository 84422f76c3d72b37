import CVFIOUserLinux
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// A guest's registers behind a mailbox, from the address space to the device's handler.
@Suite("Mailboxes in plans") struct MailboxPlanTests {
  /// 64 bytes of memory, which wishes for ioregionfds.
  private final class Device: ServedDevice, RegionHandler {
    private var bytes = [UInt8](repeating: 0, count: 64)

    var layout: DeviceLayout {
      DeviceLayout(
        flags: .reset,
        regions: [
          RegionLayout(
            byteCount: 64, rights: [.read, .write],
            paths: [
              RegionPath(
                offset: RegionOffset(0), byteCount: 16, kind: .ioregionfd(postsWrites: false)),
              RegionPath(
                offset: RegionOffset(16), byteCount: 16, kind: .ioregionfd(postsWrites: true)),
            ])
        ], interrupts: [])
    }

    func region(at index: Int) -> Region? { try? Region(byteCount: 64, handler: self) }
    func start(_ services: DeviceServices) {}
    func reset(_ kind: ResetKind) {}

    func read(
      at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      for index in 0..<target.byteCount {
        try? target.store(bytes[Int(offset.rawValue) + index], at: index)
      }
    }

    func write(
      at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
    ) throws(Errno) {
      for index in 0..<source.byteCount {
        bytes[Int(offset.rawValue) + index] = (try? source.load(at: index)) ?? 0
      }
    }
  }

  /// Keeps a server on its loop, and stops it there.
  private final class Served: @unchecked Sendable {
    // Confined to the loop.
    var server: DeviceServer?

    func stop(on loop: EventLoop) {
      let isStopped = Observed(false)
      loop.post { [self] in
        guard let server else { return isStopped.update { $0 = true } }
        server.stop { isStopped.update { $0 = true } }
        self.server = nil
      }
      #expect(isStopped.wait { $0 })
    }
  }

  @Test(
    "I19, I22, I23: a guest reaches registers by mailbox where both sides agree, else by ioregionfd",
    arguments: [true, false])
  func accesses(offersMailbox: Bool) throws {
    let thread = try LoopThread(name: "device", polling: .adaptive)
    let served = Served()
    defer {
      served.stop(on: thread.loop)
      thread.end()
    }
    let pair = try SocketPair()
    let raw = try pair.second.duplicate().release()
    thread.loop.post { [loop = thread.loop] in
      let server = DeviceServer(host: DeviceHost(device: Device(), loop: loop))
      do { try server.adopt(OwnedDescriptor(adopting: raw)) } catch {
        Issue.record("\(error)")
      }
      served.server = server
    }
    var options = ClientOptions()
    options.offersMailbox = offersMailbox
    let client = try DeviceClient.connect(
      adopting: pair.first.duplicate(), options: options)
    defer { client.close() }
    let region = try client.region(at: 0)
    let plan = RegionPlan(
      region: region, descriptors: try client.ioDescriptors(region: region))
    #expect(plan.fallbacks.isEmpty)
    let expected: [RegionPartPath] =
      offersMailbox
      ? [.mailbox(postsWrites: false), .mailbox(postsWrites: true), .message]
      : [.ioregionfd(postsWrites: false), .ioregionfd(postsWrites: true), .message]
    #expect(plan.parts.map(\.path) == expected)
    #expect(plan.parts[0].port === plan.parts[1].port)
    let window = RegionWindow(region: region, plan: plan)
    let space = AddressSpace()
    try space.place(window, at: GuestAddress(0xe000_0000))
    for offset in stride(from: 0, to: 64, by: 4) as StrideTo<UInt64> {
      let address = GuestAddress(0xe000_0000 + offset)
      space.write(offset * 0x0101, at: address, byteCount: 4)
      #expect(space.read(at: address, byteCount: 4) == offset * 0x0101)
    }
    // An access over the border of two mechanisms is one for each. The read waits for the posted half
    // where that is, on the descriptor; a message would not.
    space.write(0x8877_6655_4433_2211, at: GuestAddress(0xe000_001c), byteCount: 8)
    #expect(space.read(at: GuestAddress(0xe000_001c), byteCount: 8) == 0x8877_6655_4433_2211)
    #expect(try region.readWord(at: RegionOffset(28), byteCount: 8) == 0x8877_6655_4433_2211)
    let mechanism = offersMailbox ? AccessMechanism.mailbox : .ioregionfd
    #expect(window.usage.map { Array($0.counts.keys) } == [[mechanism], [mechanism], [.message]])
  }
}
