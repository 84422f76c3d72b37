import CVFIOUserLinux
import Glibc
import Synchronization
import Testing

@testable import VFIOUser

/// Policies, the end, load, and what is left behind.
@Suite("A client that outlives its server") struct ReconnectLifetimeTests {
  @Test("V12: without a policy of waiting the loss is the end, noticed at once")
  func failing() throws {
    let server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect(.fail)
    let region = try client.region(at: 0)
    server.stop()
    let end = rig.waitsForTheEnd()
    #expect(end?.code == .disconnected)
    #expect(rig.events.count == 2 && client.failure == end)
    #expect(clientError { try region.write(UInt8(1), at: RegionOffset(0)) } == end)
  }

  @Test("V12: a call in flight fails as the policy says, not with a promise to go on")
  func failingInFlight() throws {
    let rig = ReconnectRig(.scripts([{ end in _ = try end.serve(until: .regionWrite) }]))
    let client = try rig.connect(.fail)
    let region = try client.region(at: 0)
    let error = clientError { try region.write(UInt8(1), at: RegionOffset(0)) }
    #expect(error?.code == .disconnected)
    rig.join()
  }

  @Test("V12: a server that does not come back is given up, and whoever waits is told")
  func givenUp() throws {
    let server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    var policy = ReconnectPolicy.quick
    policy.maximumWait = .milliseconds(200)
    let client = try rig.connect(policy)
    let region = try client.region(at: 0)
    rig.set(.nothing)
    server.stop()
    #expect(rig.waitsForLoss())
    // Not by its time-out.
    let error = clientError { try region.write(UInt8(1), at: RegionOffset(0)) }
    #expect(error?.code == .gaveUp && error?.errno == .connectionRefused)
    #expect(rig.waitsForTheEnd() == error)
    // It stays given up.
    let fresh = try LiveServer()
    rig.set(.path(fresh.path))
    #expect(clientError { try client.reset() } == error)
    #expect(!client.isConnected)
  }

  @Test("E16: a server that comes back mute or mad is tried again until the time is over")
  func madReturn() throws {
    let mute: ReconnectRig.Script = { end in
      _ = try end.next()
      _ = try end.next(timeout: .seconds(60))
    }
    let mad: ReconnectRig.Script = { end in
      try? end.peer.sendRaw([UInt8](repeating: 0xdd, count: 100))
      _ = try? end.next()
    }
    // On a busy machine any of these may be left for taking too long.
    let refusing: ReconnectRig.Script = { end in
      if let version = try? end.next() { try? end.refuse(version, .resourceBusy) }
    }
    let late: ReconnectRig.Script = { end in
      // Dies in the middle of being told about interrupts.
      if let version = try? end.next() { try? end.greet(answering: version) }
      _ = try? end.serve(until: .deviceSetIRQs, isGreeting: false)
    }
    let good: ReconnectRig.Script = { end in
      if let version = try? end.next() { try? end.greet(answering: version) }
      _ = try? end.serve(until: nil, isGreeting: false)
    }
    let rig = ReconnectRig(
      .scripts(
        [{ end in _ = try end.serve(until: .regionWrite) }, mute, mad, refusing, late]
          + [ReconnectRig.Script](repeating: good, count: 100)))
    let client = try rig.connect()
    _ = try client.enableInterrupts(index: 2, count: 2)
    client.options.timeout = .milliseconds(500)
    _ = clientError { try client.region(at: 0).write(UInt8(1), at: RegionOffset(0)) }
    #expect(rig.waitsForRestorations())
    let codes = rig.events.compactMap { event -> ClientError.Code? in
      if case .attemptFailed(let error) = event { error.code } else { nil }
    }
    let wanted: [ClientError.Code] = [.timedOut, .protocolViolation, .rejected, .disconnected]
    #expect(codes.count >= wanted.count)
    #expect(rig.events.last == .restored(attempts: codes.count + 1))
    for (code, wanted) in zip(codes, wanted) { #expect(code == wanted || code == .timedOut) }
    #expect(codes.dropFirst(wanted.count).allSatisfy { $0 == .timedOut })
    client.close()
    rig.join()
  }

  @Test("Closing ends waits and attempts, and no event follows")
  func close() throws {
    let mute: ReconnectRig.Script = { end in
      _ = try end.next()
      _ = try end.next(timeout: .seconds(60))
    }
    let rig = ReconnectRig(
      .scripts([{ end in _ = try end.serve(until: .regionWrite) }, mute]))
    weak var gone: ReconnectingClient?
    do {
      let client = try rig.connect(timeout: .seconds(60))
      gone = client
      let region = try client.region(at: 0)
      _ = clientError { try region.write(UInt8(1), at: RegionOffset(0)) }
      #expect(rig.waits { $0.contains(.attempting(number: 1)) })
      let isCalling = Atomic<Bool>(false)
      let closer = TestThread {
        while !isCalling.load(ordering: .acquiring) { usleep(1000) }
        usleep(30_000)
        client.close()
      }
      isCalling.store(true, ordering: .releasing)
      let error = clientError { try region.write(UInt8(1), at: RegionOffset(0)) }
      #expect(error?.code == .disconnected)
      closer.join()
    }
    // Its own thread may hold it for a moment.
    for _ in 0..<60_000 where gone != nil { usleep(1000) }
    #expect(gone == nil)
    rig.join()
    #expect(rig.events.count == 2)
  }

  @Test("E16: a region that changed is looked at again through the same object")
  func regionChanged() throws {
    let rig = ReconnectRig(
      .scripts([
        { end in
          let version = try end.expect(.version)
          let request = try VersionMessage(decoding: version.payload.rawSpan)
          var offer = FakeServer.capabilities
          offer.extensions = ["region_changed": .bool(true)]
          let answer = try Negotiation.serverReply(to: request, offering: offer)
          try end.reply(to: version, answer.encodedPayload())
          let reset = try #require(try end.serve(until: .deviceReset, isGreeting: false))
          try end.peer.send(RegionChanged(index: 0), flags: .noReply)
          try end.reply(to: reset)
          let asked = try #require(try end.next())
          #expect(asked.header.command == .deviceGetRegionInfo)
          let info = RegionInfo(index: 0, flags: [.read, .write], byteCount: 4096)
          try end.reply(to: asked, info.encodedPayload())
          _ = try end.serve(until: nil, isGreeting: false, timeout: .seconds(60))
        }
      ]))
    let heard = RegionChangeTests.Heard()
    let client = try rig.connect { $0.onRegionChanged = { heard.note($0) } }
    let region = try client.region(at: 0)
    _ = try region.read(at: RegionOffset(0), as: UInt8.self)
    try client.reset()
    #expect(heard.all == [0])
    #expect(try region.read(at: RegionOffset(0), as: UInt8.self) == 0x5a)
    client.close()
    rig.join()
  }

  @Test("E3, V12: mapped areas are mapped anew, and are the new server's memory")
  func mappedAreas() throws {
    var server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect()
    let region = try client.region(at: 4)
    try region.write(UInt32(1), at: RegionOffset(4096))
    #expect(region.mappedAreas.map(\.offset.rawValue) == [4096, 12288])
    for value: UInt32 in 10...12 {
      server = try ReconnectSessionTests.restart(rig, server)
      #expect(try region.read(at: RegionOffset(4096), as: UInt32.self) == 0)
      try region.write(value, at: RegionOffset(4096))
      #expect(region.mappedAreas.count == 2)
      try server.onLoop { device in
        let found = try device.shared.load32(at: 4096)
        #expect(found == value)
      }
    }
  }

  @Test("V12: the server's commands are answered in the background where that is asked for")
  func background() throws {
    var server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    var policy = ReconnectPolicy.quick
    policy.servesInBackground = true
    let client = try rig.connect(policy)
    let hidden = PrivateMemory(byteCount: 4096)
    let data = Array(ClientServerTests.pattern.prefix(4096))
    try hidden.write(at: 0, from: data.rawSpan)
    try client.mapPrivateMemory(hidden, at: DMAAddress(0))
    for _ in 0..<2 {
      let isRight = Atomic<Bool>(false)
      try server.onLoop { device in
        device.services?.dma.read(at: DMAAddress(0), byteCount: 4096) { result in
          isRight.store((try? result.get()) == data, ordering: .releasing)
        }
      }
      let deadline = MonotonicTime.now.advanced(by: .seconds(60))
      while !isRight.load(ordering: .acquiring), MonotonicTime.now < deadline { usleep(1000) }
      let found = isRight.load(ordering: .acquiring)
      #expect(found)
      server = try ReconnectSessionTests.restart(rig, server)
    }
    _ = client
  }

  @Test("V9: DMA by message crosses accesses, also across reconnects, and never hangs")
  func crossing() throws {
    let server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect()
    let memory = PrivateMemory(byteCount: 1 << 20)
    try client.mapPrivateMemory(memory, at: DMAAddress(0))
    let region = try client.region(at: 0)
    // The device moves memory all the time, whether a client is there or not.
    let mover = Mover()
    for _ in 0..<8 { try server.onLoop { mover.go(on: $0) } }
    let counts = Guarded<(done: Int, interrupted: Int)>((0, 0))
    let writers = (0..<3).map { number in
      TestThread {
        let big = [UInt8](repeating: UInt8(number), count: 2048)
        while !mover.stops.load(ordering: .acquiring) {
          let error = clientError {
            try region.write(at: RegionOffset(0), from: big.rawSpan)
            _ = try region.read(at: RegionOffset(0), byteCount: 16)
          }
          counts.withLock {
            if error == nil { $0.done += 1 } else { $0.interrupted += 1 }
          }
          if let error { #expect(error.code == .interruptedByReconnect) }
        }
      }
    }
    for round in 1...6 {
      let before = counts.withLock { $0.done }
      let moved = mover.transfers.load(ordering: .acquiring)
      let deadline = MonotonicTime.now.advanced(by: .seconds(60))
      while counts.withLock({ $0.done }) < before + 50
        || mover.transfers.load(ordering: .acquiring) < moved + 10, MonotonicTime.now < deadline
      { usleep(1000) }
      #expect(MonotonicTime.now < deadline, "nothing goes on in round \(round)")
      rig.cut()
      #expect(rig.waitsForRestorations(round))
    }
    mover.stops.store(true, ordering: .releasing)
    for writer in writers { writer.join() }
    #expect(client.failure == nil)
  }

  /// A device's traffic by messages, until it is told to stop.
  private final class Mover: Sendable {
    let stops = Atomic<Bool>(false)
    let transfers = Atomic<Int>(0)

    /// On the server's loop.
    func go(on device: TestDevice) {
      guard !stops.load(ordering: .acquiring), let services = device.services else { return }
      services.dma.read(at: DMAAddress(0), byteCount: 4096) { [self] result in
        guard case .success(let bytes) = result else {
          // Nobody is there.
          services.loop.schedule(after: .milliseconds(1)) { self.go(on: device) }
          return
        }
        services.dma.write(at: DMAAddress(8192), bytes: bytes) { _ in
          self.transfers.wrappingAdd(1, ordering: .releasing)
          services.loop.schedule(after: .zero) { self.go(on: device) }
        }
      }
    }
  }

  @Test("V12, E13: several threads go on through a loop of restarts", arguments: [false, true])
  func load(hasTwin: Bool) throws {
    var server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect { $0.offersTwinSocket = hasTwin }
    let shared = try SharedMemory(byteCount: 65536)
    try shared.write(at: 0, from: Array(ClientServerTests.pattern.prefix(65536)).rawSpan)
    try client.mapMemory(shared, at: DMAAddress(0x10000))
    let interrupt = try client.enableInterrupts(index: 2, count: 1)[0]
    let stops = Atomic<Bool>(false)
    let done = Atomic<Int>(0)
    try withThreads(
      4,
      { number in
        let region: ReconnectingRegion
        do { region = try client.region(at: 0) } catch {
          Issue.record("no region: \(error)")
          return
        }
        let place = RegionOffset(UInt64(64 * number))
        var value: UInt32 = 0
        while !stops.load(ordering: .acquiring) {
          value &+= 1
          let error = clientError {
            try region.write(value, at: place)
            let found: UInt32 = try region.read(at: place)
            // A new device has forgotten it.
            #expect(found == value || found == 0)
          }
          if let error { #expect(error.code == .interruptedByReconnect, "\(error)") }
          done.wrappingAdd(1, ordering: .releasing)
        }
      }
    ) {
      for _ in 0..<8 {
        let before = done.load(ordering: .acquiring)
        let deadline = MonotonicTime.now.advanced(by: .seconds(60))
        while done.load(ordering: .acquiring) < before + 200, MonotonicTime.now < deadline {
          usleep(500)
        }
        server = try ReconnectSessionTests.restart(rig, server)
        try server.onLoop { $0.services?.interrupts[2].raise(0) }
        #expect(interrupt.wait(timeout: .seconds(60)) != nil)
        let sum = try ReconnectSessionTests.deviceChecksum(server, client, 0x10000, 65536)
        #expect(sum == ClientServerTests.checksum(ClientServerTests.pattern.prefix(65536)))
      }
      stops.store(true, ordering: .releasing)
    }
    #expect(rig.restorationCount == 8)
  }

  /// Runs `body` while `count` threads run `work`.
  private func withThreads(
    _ count: Int, _ work: @escaping @Sendable (Int) -> Void, _ body: () throws -> Void
  ) throws {
    let threads = (0..<count).map { number in TestThread { work(number) } }
    defer { for thread in threads { thread.join() } }
    try body()
  }

  @Test("V12: no descriptor is left behind by reconnects")
  func descriptors() async {
    await #expect(processExitsWith: .success) {
      let server = try LiveServer()
      let rig = ReconnectRig(.path(server.path))
      let client = try rig.connect { $0.offersTwinSocket = true }
      let memory = try SharedMemory(byteCount: 4096)
      try client.mapMemory(memory, at: DMAAddress(0))
      try client.mapMemory(
        descriptor: memory.rawDescriptor, fileOffset: 0, byteCount: 4096, at: DMAAddress(0x10000))
      _ = try client.enableInterrupts(index: 2, count: 8)
      let mapped = try client.region(at: 4)
      try mapped.write(UInt32(1), at: RegionOffset(4096))
      func cycle(_ round: Int) throws -> Int {
        rig.cut()
        guard rig.waitsForRestorations(round) else { exit(2) }
        _ = try mapped.read(at: RegionOffset(4096), as: UInt32.self)
        // The server lets go of the last session's descriptors before it greets anew.
        return try Self.descriptorCount()
      }
      _ = try cycle(1)
      let before = try cycle(2)
      for round in 3...12 {
        let count = try cycle(round)
        if count != before {
          print("\(count) descriptors instead of \(before)")
          exit(3)
        }
      }
      client.close()
      server.stop()
      // At once: a leak checker would miss what only this frame refers to.
      _exit(0)
    }
  }

  private static func descriptorCount() throws -> Int {
    guard let folder = opendir("/proc/self/fd") else { throw Errno.current }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return count
  }
}
