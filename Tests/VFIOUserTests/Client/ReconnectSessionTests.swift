import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// Memory, interrupts and the device's identity after a loss.
@Suite("Sessions across a loss") struct ReconnectSessionTests {
  /// Replaces a server, as a supervisor would.
  static func restart(_ rig: ReconnectRig, _ old: LiveServer) throws -> LiveServer {
    let count = rig.restorationCount
    rig.set(.nothing)
    old.stop()
    let fresh = try LiveServer()
    rig.set(.path(fresh.path))
    #expect(rig.waitsForRestorations(count + 1))
    return fresh
  }

  @Test("V11: registers are intact after a reconnect to the same process")
  func sameProcess() throws {
    let server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect()
    let region = try client.region(at: 0)
    for index in 0..<64 { try region.write(UInt32(index * 3), at: RegionOffset(UInt64(4 * index))) }
    for round in 1...3 {
      rig.cut()
      #expect(rig.waitsForRestorations(round))
      for index in 0..<64 {
        let value: UInt32 = try region.read(at: RegionOffset(UInt64(4 * index)))
        #expect(value == UInt32(index * 3))
      }
    }
    try server.onLoop { device in
      #expect(device.events.filter { $0.hasPrefix("reset") }.isEmpty)
      #expect(device.events.count { $0 == "connected" } == 4)
    }
  }

  @Test("V12: memory is mapped again in its old order, and what was taken away is not")
  func mapOrder() throws {
    let seen = Mutex<[[DMAMapRequest]]>([[], []])
    let script: @Sendable (Int) -> ReconnectRig.Script = { number in
      { end in
        _ = try end.serve(until: nil, timeout: .seconds(60)) { message in
          guard message.header.command == .dmaMap else { return }
          let request = try DMAMapRequest(decoding: message.payload.rawSpan)
          #expect(message.descriptors.count == (request.address.rawValue == 0x30000 ? 0 : 1))
          seen.withLock { $0[number].append(request) }
        }
      }
    }
    let rig = ReconnectRig(.scripts([script(0), script(1)]))
    let client = try rig.connect()
    let shared = try SharedMemory(byteCount: 8192)
    let file = try SharedMemory(byteCount: 16384)
    let hidden = PrivateMemory(byteCount: 4096)
    try client.mapPrivateMemory(hidden, at: DMAAddress(0x30000), rights: [.read])
    try client.mapMemory(shared, at: DMAAddress(0x10000))
    try client.mapMemory(shared, at: DMAAddress(0x50000))
    try client.mapMemory(
      descriptor: file.rawDescriptor, fileOffset: 4096, byteCount: 8192, at: DMAAddress(0x20000),
      rights: [.write])
    try client.unmapMemory(at: DMAAddress(0x50000), byteCount: 8192)
    let unknown = clientError {
      try client.unmapMemory(at: DMAAddress(0x50000), byteCount: 8192)
    }
    #expect(unknown == ClientError(.invalidArgument, .noSuchFileOrDirectory, ""))
    rig.cut()
    #expect(rig.waitsForRestorations())
    client.close()
    rig.join()
    let requests = seen.withLock { $0 }
    #expect(requests[0].count == 4)
    #expect(requests[1] == requests[0].filter { $0.address.rawValue != 0x50000 })
  }

  @Test("V12, E5: what is taken away while a server comes back is taken away from that one, too")
  func takenAwayMeanwhile() throws {
    let unmapped = Mutex<[UInt64]>([])
    let owner = Mutex<WeakClient?>(nil)
    let rig = ReconnectRig(
      .scripts([
        { _ = try $0.serve(until: nil, timeout: .seconds(60)) },
        { end in
          _ = try end.serve(until: nil, timeout: .seconds(60)) { message in
            switch message.header.command {
            case .dmaMap:
              let address = try DMAMapRequest(decoding: message.payload.rawSpan).address
              guard address.rawValue == 0x10000 else { return }
              // The rest of a call to which the server before did not reply.
              owner.withLock { $0?.client }?
                .forgetGrant(at: address, byteCount: 4096, refusedBy: nil)
            case .dmaUnmap:
              let request = try DMAUnmapRequest(decoding: message.payload.rawSpan)
              unmapped.withLock { $0.append(request.address.rawValue) }
            default: break
            }
          }
        },
        { end in
          _ = try end.serve(until: nil, timeout: .seconds(60)) { message in
            #expect(message.header.command != .dmaMap)
          }
        },
      ]))
    let client = try rig.connect()
    owner.withLock { $0 = WeakClient(client) }
    let memory = try SharedMemory(byteCount: 4096)
    for address in [0x10000, 0x20000] as [UInt64] {
      try client.mapMemory(memory, at: DMAAddress(address))
    }
    rig.cut()
    #expect(rig.waitsForRestorations())
    #expect(unmapped.withLock { $0 } == [0x10000])
    // And once it is back.
    client.forgetGrant(at: DMAAddress(0x20000), byteCount: 4096, refusedBy: nil)
    #expect(unmapped.withLock { $0 } == [0x10000, 0x20000])
    rig.cut()
    #expect(rig.waitsForRestorations(2))
    client.close()
    rig.join()
  }

  @Test("V12, E4: memory holds after restarts, by mapping and by message, checksums equal")
  func memory() throws {
    var server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect()
    let shared = try SharedMemory(byteCount: 131_072)
    let hidden = PrivateMemory(byteCount: 131_072)
    let data = ClientServerTests.pattern
    try shared.write(at: 0, from: data.rawSpan)
    try hidden.write(at: 0, from: data.rawSpan)
    try client.mapMemory(shared, at: DMAAddress(0x10_0000))
    try client.mapPrivateMemory(hidden, at: DMAAddress(0x20_0000))
    for _ in 0..<3 {
      server = try Self.restart(rig, server)
      for address: UInt64 in [0x10_0000, 0x20_0000] {
        let sum = try Self.deviceChecksum(server, client, address, data.count)
        #expect(sum == ClientServerTests.checksum(data))
      }
    }
  }

  /// What the device finds in memory, while this side serves.
  static func deviceChecksum(
    _ server: LiveServer, _ client: ReconnectingClient, _ address: UInt64, _ byteCount: Int
  ) throws -> UInt64? {
    let sum = Mutex<UInt64?>(nil)
    let isDone = Atomic<Bool>(false)
    try server.onLoop { device in
      device.services?.dma.read(at: DMAAddress(address), byteCount: byteCount) { result in
        if case .success(let bytes) = result {
          sum.withLock { $0 = ClientServerTests.checksum(bytes) }
        }
        isDone.store(true, ordering: .releasing)
      }
    }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while !isDone.load(ordering: .acquiring), MonotonicTime.now < deadline {
      try client.serve(timeout: .milliseconds(5))
    }
    return sum.withLock { $0 }
  }

  @Test("V12, E6: eventfds stay the same objects and deliver after a restart, masks hold")
  func interrupts() throws {
    var server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    var policy = ReconnectPolicy.quick
    policy.signalsInterrupts = false
    let client = try rig.connect(policy)
    let interrupts = try client.enableInterrupts(index: 2, start: 1, count: 4)
    let own = try EventDescriptor()
    try client.assignInterrupts(index: 2, start: 6, descriptors: [own.rawValue])
    try client.maskInterrupts(index: 2, start: 2)
    try client.maskInterrupts(index: 2, start: 3, count: 2, where: [true, true])
    try client.unmaskInterrupts(index: 2, start: 3, count: 2, where: [false, true])
    try client.releaseInterrupts(index: 2, start: 1, count: 1)
    let descriptors = interrupts.map(\.rawDescriptor)
    for _ in 0..<2 {
      server = try Self.restart(rig, server)
      try server.onLoop { device in
        for vector in 0..<8 { device.services?.interrupts[2].raise(vector) }
      }
      #expect(interrupts.map(\.rawDescriptor) == descriptors)
      // Vectors 1 (released), 2 and 3 (masked), 4 (unmasked again), 6 (the caller's).
      #expect(interrupts[3].wait(timeout: .seconds(60)) == 1)
      #expect(own.wait(timeout: .seconds(60)) == 1)
      #expect(interrupts[0...2].allSatisfy { $0.consume() == nil })
    }
    // What is pending while masked is delivered by the unmasking.
    try client.unmaskInterrupts(index: 2, start: 2)
    #expect(interrupts[1].wait(timeout: .seconds(60)) == 1)
    try client.disableInterrupts(index: 2)
    server = try Self.restart(rig, server)
    try server.onLoop { device in
      for vector in 0..<8 { device.services?.interrupts[2].raise(vector) }
    }
    #expect(interrupts.allSatisfy { $0.consume() == nil } && own.consume() == nil)
  }

  @Test("V12, E6: a level-triggered line and its resampling work after a restart")
  func resample() throws {
    var server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    var policy = ReconnectPolicy.quick
    policy.signalsInterrupts = false
    let client = try rig.connect(policy)
    let line = try client.enableInterrupts(index: 0, count: 1)[0]
    let unmask = try client.enableResample(index: 0)[0]
    for _ in 0..<2 {
      server = try Self.restart(rig, server)
      try server.onLoop { $0.services?.interrupts[0].setLevel(true) }
      #expect(line.wait(timeout: .seconds(60)) == 1)
      unmask.signal()
      // Still asserted.
      #expect(line.wait(timeout: .seconds(60)) == 1)
      try server.onLoop { $0.services?.interrupts[0].setLevel(false) }
      unmask.signal()
      #expect(line.wait(timeout: .milliseconds(30)) == nil)
    }
  }

  @Test("V12: by policy each armed interrupt is signalled once, a masked one when it is unmasked")
  func signals() throws {
    let server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect()
    let interrupts = try client.enableInterrupts(index: 2, count: 3)
    let unmask = try EventDescriptor()
    try client.assignInterrupts(index: 2, descriptors: [unmask.rawValue], action: .unmask)
    try client.maskInterrupts(index: 2, start: 1)
    rig.cut()
    #expect(rig.waitsForRestorations())
    #expect(interrupts[0].wait(timeout: .seconds(60)) == 1)
    #expect(interrupts[2].wait(timeout: .seconds(60)) == 1)
    #expect(interrupts[1].consume() == nil && unmask.consume() == nil)
    try client.unmaskInterrupts(index: 2, start: 1)
    #expect(interrupts[1].wait(timeout: .seconds(60)) == 1)
    try client.unmaskInterrupts(index: 2, start: 1)
    #expect(interrupts[1].consume() == nil)
  }

  @Test("E16: a descriptor that is no eventfd is not taken for one")
  func noEvent() throws {
    let server = try LiveServer()
    let client = try ReconnectRig(.path(server.path)).connect()
    let memory = try SharedMemory(byteCount: 4096)
    let error = clientError {
      try client.assignInterrupts(index: 2, descriptors: [memory.rawDescriptor])
    }
    #expect(error == ClientError(.systemCall, .invalidArgument, ""))
  }

  // MARK: Identity

  typealias Change = @Sendable (inout FakeServer.End.Device) -> Void

  static let changes: [(name: String, change: Change)] = [
    ("a longer region", { $0.regionByteCounts[0] = 8192 }),
    ("another region", { $0.regionByteCounts[1] = 4096 }),
    ("fewer regions", { $0.info.regionCount = 8 }),
    ("other flags", { $0.info.flags = [.pci] }),
    ("fewer interrupt types", { $0.info.interruptTypeCount = 4 }),
    ("fewer interrupts", { $0.interruptCount = 3 }),
    ("another vendor", { $0.configuration[0] = 0x35 }),
    ("another device", { $0.configuration[3] = 0x12 }),
    ("another revision", { $0.configuration[8] = 1 }),
    ("another class", { $0.configuration[11] = 1 }),
    ("another subsystem", { $0.configuration[0x2e] = 1 }),
  ]

  @Test("V12: a device that is not the same any more is refused for good", arguments: changes)
  func identity(_ change: (name: String, change: Change)) throws {
    let first: ReconnectRig.Script = { end in
      _ = try end.serve(.pci, until: .regionWrite)
    }
    let other = change.change
    let second: ReconnectRig.Script = { end in
      var device = FakeServer.End.Device.pci
      other(&device)
      // Nothing but questions: no memory and no interrupt reaches another device.
      _ = try end.serve(device, until: nil) { message in
        #expect(![.dmaMap, .deviceSetIRQs].contains(message.header.command))
      }
    }
    let rig = ReconnectRig(.scripts([first, second]))
    let client = try rig.connect()
    try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0))
    _ = try client.enableInterrupts(index: 2, count: 1)
    let region = try client.region(at: 0)
    _ = clientError { try region.write(UInt8(1), at: RegionOffset(0)) }
    let end = rig.waitsForTheEnd()
    #expect(end?.code == .deviceChanged && end?.errno == .operationNotSupportedByDevice)
    #expect(client.failure == end)
    #expect(clientError { try region.write(UInt8(1), at: RegionOffset(0)) } == end)
    #expect(clientError { try client.reset() } == end)
    #expect(clientError { _ = try client.enableInterrupts(index: 2, count: 1) } == end)
    rig.join()
  }

  @Test("The state of a PCI device, and how a region is mapped, are no part of its identity")
  func sameDevice() throws {
    let rig = ReconnectRig(
      .scripts([
        { end in _ = try end.serve(.pci, until: .regionWrite) },
        { end in
          var device = FakeServer.End.Device.pci
          device.configuration[4] = 7
          device.configuration[0x10] = 0xf0
          _ = try end.serve(device, until: nil, timeout: .seconds(60))
        },
      ]))
    let client = try rig.connect()
    let region = try client.region(at: 0)
    _ = clientError { try region.write(UInt8(1), at: RegionOffset(0)) }
    #expect(rig.waitsForRestorations())
    client.close()
    rig.join()
  }
}
