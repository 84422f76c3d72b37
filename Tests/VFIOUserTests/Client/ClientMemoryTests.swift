import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Client memory") struct ClientMemoryTests {
  /// A DMA command of the server.
  static func access(_ address: UInt64, _ count: UInt64) -> [UInt8] {
    [UInt8](byteCount: DMAAccess.fixedByteCount) { bytes in
      try? DMAAccess(address: DMAAddress(address), count: count).encode(into: &bytes, at: 0)
    }
  }

  @Test("E4: private memory is served by messages while a call waits")
  func privateMemory() throws {
    let server = try FakeServer { end in
      try end.greet()
      let map = try end.expect(.dmaMap)
      #expect(map.descriptors.isEmpty)
      try end.reply(to: map)
      try end.answerPlainRegion()
      let register = try end.expect(.regionRead)
      // Both commands are answered before the read that the client waits for.
      try end.peer.send(.dmaWrite, Self.access(0x1010, 4) + [1, 2, 3, 4])
      let written = try end.expect(.dmaWrite)
      #expect(written.payload == Array(Self.access(0x1010, 4).prefix(12)))
      try end.peer.send(.dmaRead, Self.access(0x100e, 6))
      let read = try end.expect(.dmaRead)
      #expect(read.payload == Self.access(0x100e, 6) + [0, 0, 1, 2, 3, 4])
      try end.reply(to: register, FakeServer.readReply(register, [5]))
    }
    let client = try server.connect()
    let memory = PrivateMemory(byteCount: 4096)
    try client.mapPrivateMemory(memory, at: DMAAddress(0x1000))
    #expect(try client.region(at: 0).read(at: RegionOffset(0), as: UInt8.self) == 5)
    #expect(try memory.contents(at: 0x10, byteCount: 4) == [1, 2, 3, 4])
    server.join()
  }

  @Test("E5: access outside a grant fails with EFAULT, against its rights with EPERM")
  func rights() throws {
    let server = try FakeServer { end in
      try end.greet()
      for _ in 0..<3 { try end.reply(to: try end.expect(.dmaMap)) }
      try end.reply(to: try end.expect(.dmaUnmap), [])
      let accesses: [(Command, UInt64, UInt64, Errno?)] = [
        (.dmaRead, 0x1000, 16, nil), (.dmaWrite, 0x1000, 16, .notPermitted),
        (.dmaRead, 0x2000, 16, .notPermitted), (.dmaWrite, 0x2000, 16, nil),
        (.dmaRead, 0xfff, 2, .badAddress), (.dmaRead, 0x2fff, 2, .notPermitted),
        (.dmaWrite, 0x2fff, 2, .badAddress), (.dmaRead, 0x1ff0, 0x20, .notPermitted),
        (.dmaRead, 0x9000, 1, .badAddress), (.dmaRead, .max, 1, .badAddress),
        (.dmaRead, .max, 2, .invalidArgument), (.dmaRead, 0, .max, .invalidArgument),
      ]
      for (command, address, count, errno) in accesses {
        let data = command == .dmaWrite ? [UInt8](repeating: 1, count: Int(count)) : []
        try end.peer.send(command, Self.access(address, count) + data)
        let reply = try end.expect(command)
        #expect(reply.header.failure == errno, "\(command) \(address)")
        if errno != nil { #expect(reply.payload.isEmpty) }
      }
      end.hangUp()
    }
    let client = try server.connect()
    let memories = (0..<3).map { _ in PrivateMemory(byteCount: 4096) }
    try client.mapPrivateMemory(memories[0], at: DMAAddress(0x1000), rights: .read)
    try client.mapPrivateMemory(memories[1], at: DMAAddress(0x2000), rights: .write)
    try client.mapPrivateMemory(memories[2], at: DMAAddress(0x9000))
    try client.unmapMemory(at: DMAAddress(0x9000), byteCount: 4096)
    #expect(clientError { try client.serve(timeout: .seconds(60)) }?.code == .disconnected)
    server.join()
  }

  @Test("An access may span adjacent grants")
  func adjacent() throws {
    let server = try FakeServer { end in
      try end.greet()
      for _ in 0..<2 { try end.reply(to: try end.expect(.dmaMap)) }
      try end.peer.send(.dmaWrite, Self.access(0x1ffe, 4) + [1, 2, 3, 4])
      #expect(try end.expect(.dmaWrite).header.failure == nil)
      try end.peer.send(.dmaRead, Self.access(0x1ffe, 4))
      #expect(try end.expect(.dmaRead).payload.suffix(4) == [1, 2, 3, 4])
      end.hangUp()
    }
    let client = try server.connect()
    let low = PrivateMemory(byteCount: 4096)
    let high = PrivateMemory(byteCount: 4096)
    try client.mapPrivateMemory(high, at: DMAAddress(0x2000))
    try client.mapPrivateMemory(low, at: DMAAddress(0x1000))
    _ = clientError { try client.serve(timeout: .seconds(60)) }
    #expect(try low.contents(at: 4094, byteCount: 2) == [1, 2])
    #expect(try high.contents(at: 0, byteCount: 2) == [3, 4])
    server.join()
  }

  @Test("E4: shared memory goes with its descriptor, and is served by messages as well")
  func sharedMemory() throws {
    let server = try FakeServer { end in
      try end.greet()
      let map = try end.expect(.dmaMap)
      let request = try DMAMapRequest(decoding: map.payload.rawSpan)
      #expect(request.byteCount == 8192 && request.fileOffset == 0)
      let raw = try #require(map.descriptors.first)
      let memory = try SharedMemory(
        adopting: OwnedDescriptor(adopting: raw), offset: 0, byteCount: 8192, writable: true)
      try memory.store32(0x1234, at: 4)
      try end.peer.send(.dmaRead, Self.access(0x10004, 4))
      #expect(try end.expect(.dmaRead).payload.suffix(4) == [0x34, 0x12, 0, 0])
      try end.reply(to: map)
      let part = try end.expect(.dmaMap)
      #expect(try DMAMapRequest(decoding: part.payload.rawSpan).fileOffset == 4096)
      #expect(part.descriptors.count == 1)
      _ = OwnedDescriptor(adopting: part.descriptors[0])
      try end.reply(to: part)
      try end.peer.send(.dmaRead, Self.access(0x20000, 4))
      #expect(try end.expect(.dmaRead).payload.suffix(4) == [9, 0, 0, 0])
    }
    let client = try server.connect()
    let memory = try SharedMemory(byteCount: 8192)
    try client.mapMemory(memory, at: DMAAddress(0x10000))
    #expect(try memory.load32(at: 4) == 0x1234)
    try memory.store32(9, at: 4096)
    try client.mapMemory(
      descriptor: memory.rawDescriptor, fileOffset: 4096, byteCount: 4096,
      at: DMAAddress(0x20000), rights: .read)
    _ = clientError { try client.serve(timeout: .seconds(60)) }
    server.join()
  }

  @Test("V6: overlapping grants and inexact unmaps are refused before a message is sent")
  func table() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.reply(to: try end.expect(.dmaMap))
      try end.refuse(try end.expect(.dmaMap), .fileExists)
      let unmap = try end.expect(.dmaUnmap)
      try end.reply(to: unmap, unmap.payload)
    }
    let client = try server.connect()
    let memory = PrivateMemory(byteCount: 4096)
    try client.mapPrivateMemory(memory, at: DMAAddress(0x2000))
    for address: UInt64 in [0x2000, 0x1001, 0x2fff] {
      let error = clientError { try client.mapPrivateMemory(memory, at: DMAAddress(address)) }
      #expect(error == ClientError(.invalidArgument, .fileExists, ""))
    }
    for address: UInt64 in [.max, .max - 4094] {
      let error = clientError { try client.mapPrivateMemory(memory, at: DMAAddress(address)) }
      #expect(error?.code == .invalidArgument)
    }
    // A grant that the server refuses is none.
    let refused = clientError { try client.mapPrivateMemory(memory, at: DMAAddress(0x8000)) }
    #expect(refused == ClientError(.rejected, .fileExists, ""))
    for (address, count) in [(0x2000, 4095), (0x2001, 4096), (0x8000, 4096)] as [(UInt64, UInt64)] {
      let error = clientError {
        try client.unmapMemory(at: DMAAddress(address), byteCount: count)
      }
      #expect(error == ClientError(.invalidArgument, .noSuchFileOrDirectory, ""))
    }
    try client.unmapMemory(at: DMAAddress(0x2000), byteCount: 4096)
    server.join()
  }

  @Test("E5: the range is served until the server has let go of it, and not afterwards")
  func unmapOrder() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.reply(to: try end.expect(.dmaMap))
      let unmap = try end.expect(.dmaUnmap)
      try end.peer.send(.dmaWrite, Self.access(0x1000, 1) + [7])
      #expect(try end.expect(.dmaWrite).header.failure == nil)
      try end.reply(to: unmap, unmap.payload)
      // The client has seen the reply once it sends the next command.
      let reset = try end.expect(.deviceReset)
      try end.peer.send(.dmaWrite, Self.access(0x1000, 1) + [8])
      #expect(try end.expect(.dmaWrite).header.failure == .badAddress)
      try end.reply(to: reset)
    }
    let client = try server.connect()
    let memory = PrivateMemory(byteCount: 4096)
    try client.mapPrivateMemory(memory, at: DMAAddress(0x1000))
    try client.unmapMemory(at: DMAAddress(0x1000), byteCount: 4096)
    try client.reset()
    #expect(try memory.contents(byteCount: 1) == [7])
    server.join()
  }

  @Test("E5: after a map or an unmap that was late the range is refused, and can be unmapped")
  func unknownOutcome() throws {
    let server = try FakeServer { end in
      try end.greet()
      // The server has the range, but says so only after the client's time.
      let map = try end.expect(.dmaMap)
      let reset = try #require(try end.next(timeout: .seconds(60)))
      try end.reply(to: map)
      try end.peer.send(.dmaRead, Self.access(0x1000, 1))
      #expect(try end.expect(.dmaRead).header.failure == .badAddress)
      try end.reply(to: reset)
      try end.reply(to: try end.expect(.dmaUnmap))
      try end.reply(to: try end.expect(.dmaMap))
      let unmap = try end.expect(.dmaUnmap)
      let again = try #require(try end.next(timeout: .seconds(60)))
      #expect(again.header.command == .dmaUnmap)
      try end.reply(to: unmap, unmap.payload)
      try end.refuse(again, .noSuchFileOrDirectory)
      try end.reply(to: try end.expect(.dmaMap))
    }
    let client = try server.connect()
    let memory = PrivateMemory(byteCount: 4096)
    let address = DMAAddress(0x1000)
    client.limitWaits(to: .milliseconds(200))
    #expect(clientError { try client.mapPrivateMemory(memory, at: address) }?.code == .timedOut)
    client.limitWaits(to: .seconds(60))
    #expect(
      clientError { try client.mapPrivateMemory(memory, at: address) }
        == ClientError(.invalidArgument, .fileExists, ""))
    try client.reset()
    try client.unmapMemory(at: address, byteCount: 4096)
    try client.mapPrivateMemory(memory, at: address)
    let late = clientError {
      try client.unmapMemory(at: address, byteCount: 4096, timeout: .milliseconds(1))
    }
    #expect(late?.code == .timedOut)
    // The late unmap was carried out: that the server knows nothing of the range is as it should be.
    try client.unmapMemory(at: address, byteCount: 4096)
    try client.mapPrivateMemory(memory, at: address)
    server.join()
  }

  @Test("E5: a range whose unmap was refused is served no more, and can be unmapped again")
  func refusedUnmap() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.reply(to: try end.expect(.dmaMap))
      try end.refuse(try end.expect(.dmaUnmap), .resourceBusy)
      let reset = try end.expect(.deviceReset)
      try end.peer.send(.dmaRead, Self.access(0x1000, 1))
      #expect(try end.expect(.dmaRead).header.failure == .badAddress)
      try end.reply(to: reset)
      try end.reply(to: try end.expect(.dmaUnmap))
      try end.reply(to: try end.expect(.dmaMap))
      try end.refuse(try end.expect(.dmaUnmap), .noSuchFileOrDirectory)
    }
    let client = try server.connect()
    let memory = PrivateMemory(byteCount: 4096)
    let address = DMAAddress(0x1000)
    func unmapError() -> ClientError? {
      clientError { try client.unmapMemory(at: address, byteCount: 4096) }
    }
    try client.mapPrivateMemory(memory, at: address)
    #expect(unmapError() == ClientError(.rejected, .resourceBusy, ""))
    try client.reset()
    #expect(unmapError() == nil)
    try client.mapPrivateMemory(memory, at: address)
    #expect(unmapError() == ClientError(.rejected, .noSuchFileOrDirectory, ""))
    #expect(unmapError() == ClientError(.invalidArgument, .noSuchFileOrDirectory, ""))
    server.join()
  }

  @Test("E5: an unmap that could not be sent leaves the range as it was")
  func unsentUnmap() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.reply(to: try end.expect(.dmaMap))
      try end.answerPlainRegion()
      let reads = try (0..<1024).map { _ in try end.expect(.regionRead) }
      try end.peer.send(.dmaRead, Self.access(0x1000, 1))
      #expect(try end.expect(.dmaRead).header.failure == nil)
      try end.reply(to: reads[0], FakeServer.readReply(reads[0], [5]))
      try end.reply(to: try end.expect(.dmaUnmap))
    }
    let client = try server.connect()
    try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0x1000))
    let region = try client.region(at: 0)
    let reads = try (0..<1024).map { _ in
      try region.startRead(at: RegionOffset(0), byteCount: 1)
    }
    let error = clientError { try client.unmapMemory(at: DMAAddress(0x1000), byteCount: 4096) }
    #expect(error?.code == .tooManyPending)
    #expect(try client.finishRead(reads[0]) == 5)
    try client.unmapMemory(at: DMAAddress(0x1000), byteCount: 4096)
    client.close()
    server.join()
  }

  @Test("V5: a command in the wrong direction, an unknown one, or one with descriptors is refused")
  func wrongCommands() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4))
      #expect(try end.expect(.regionRead).header.failure == .invalidArgument)
      try end.peer.send(Command(rawValue: 0x8001))
      #expect(try end.expect(Command(rawValue: 0x8001)).header.failure == .notSupported)
      let event = try EventDescriptor()
      try end.peer.send(.dmaRead, Self.access(0, 1), descriptors: [event.rawValue])
      #expect(try end.expect(.dmaRead).header.failure == .invalidArgument)
      for payload in [[], [1, 2, 3], Self.access(0, 1) + [1]] as [[UInt8]] {
        try end.peer.send(.dmaRead, payload)
        #expect(try end.expect(.dmaRead).header.failure == .invalidArgument)
        if payload.count == 17 { continue }
        try end.peer.send(.dmaWrite, payload)
        #expect(try end.expect(.dmaWrite).header.failure == .invalidArgument)
      }
      // Without a reply wanted, there is none, whatever happens.
      try end.peer.send(.dmaRead, Self.access(0, 1), flags: .noReply)
      try end.peer.send(.dmaWrite, [], flags: .noReply)
      try end.peer.send(.dmaRead, Self.access(0, 0))
      #expect(try end.expect(.dmaRead).payload.count == 16)
    }
    let client = try server.connect()
    _ = clientError { try client.serve(timeout: .seconds(60)) }
    server.join()
  }

  @Test("A caller's own loop serves the server by watching the descriptor")
  func ownLoop() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.reply(to: try end.expect(.dmaMap))
      try end.peer.send(.dmaRead, Self.access(0x1000, 4))
      #expect(try end.expect(.dmaRead).header.failure == nil)
    }
    let client = try server.connect()
    try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0x1000))
    let loop = try EventLoop(polling: .never)
    var isOver = false
    let token = try loop.watch(client.descriptors[0], .readable) { _ in
      do { try client.process() } catch {
        #expect(client.connectionFailure?.code == .disconnected)
        isOver = true
      }
    }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while !isOver, MonotonicTime.now < deadline { try loop.runOnce(timeout: .milliseconds(100)) }
    loop.unwatch(token)
    #expect(isOver)
    server.join()
  }

  @Test("V9: a large DMA_READ that crosses a large write never hangs, with one thread on each side")
  func crossing() throws {
    let count = 1 << 20
    let server = try FakeServer { end in
      try end.greet()
      try end.reply(to: try end.expect(.dmaMap))
      try end.answerRegionInfo(
        RegionInfo(index: 0, flags: [.read, .write], byteCount: UInt64(count)))
      // Eight reads at once, of more than the socket holds, before anything is received.
      for _ in 0..<8 { try end.peer.send(.dmaRead, Self.access(0, UInt64(count))) }
      var reads = 0
      var writes = 0
      while reads < 8 || writes < 4 {
        guard let message = try end.next(timeout: .seconds(60)) else { break }
        if message.header.command == .dmaRead {
          #expect(message.payload.count == 16 + count)
          reads += 1
        } else {
          try end.reply(to: message, Array(message.payload.prefix(16)))
          writes += 1
        }
      }
      #expect(reads == 8 && writes == 4)
    }
    let client = try server.connect()
    try client.mapPrivateMemory(PrivateMemory(byteCount: count), at: DMAAddress(0))
    let region = try client.region(at: 0)
    let data = [UInt8](repeating: 3, count: count)
    for _ in 0..<4 { try region.write(at: RegionOffset(0), from: data.rawSpan) }
    _ = clientError { try client.serve(timeout: .seconds(60)) }
    server.join()
  }

  @Test("V9: with a twin socket the server's commands arrive there")
  func twinSocket() throws {
    let server = try FakeServer { end in
      let version = try end.expect(.version)
      let request = try VersionMessage(decoding: version.payload.rawSpan)
      #expect(request.capabilities?.twinSocket?.isSupported == true)
      let answer = try Negotiation.serverReply(to: request, offering: FakeServer.capabilities)
      let pair = try SocketPair()
      try end.reply(to: version, answer.encodedPayload(), descriptors: [pair.second.rawValue])
      let twin = try FakeServer.End(adopting: try pair.first.duplicate())
      try end.reply(to: try end.expect(.deviceGetInfo), FakeServer.info.encodedPayload())
      try end.reply(to: try end.expect(.dmaMap))
      let reset = try end.expect(.deviceReset)
      try twin.peer.send(.dmaRead, Self.access(0x1000, 4))
      #expect(try twin.expect(.dmaRead).header.failure == nil)
      try end.reply(to: reset)
      try twin.peer.send(.dmaWrite, Self.access(0x1000, 1) + [5])
      #expect(try twin.expect(.dmaWrite).header.failure == nil)
      end.hangUp()
    }
    let client = try server.connect { $0.offersTwinSocket = true }
    #expect(client.hasTwinSocket && client.descriptors.count == 2)
    let memory = PrivateMemory(byteCount: 4096)
    try client.mapPrivateMemory(memory, at: DMAAddress(0x1000))
    try client.reset()
    #expect(clientError { try client.serve(timeout: .seconds(60)) }?.code == .disconnected)
    #expect(try memory.contents(byteCount: 1) == [5])
    server.join()
  }
}
