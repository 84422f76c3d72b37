import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Client memory") struct SessionMemoryTests {
  @Test("E4: a mapped range is read and written without a message")
  func mapped() throws {
    let rig = try TestRig()
    let file = try SharedMemory(byteCount: 8192)
    #expect(try rig.map(0x10000, 8192, file: file.rawDescriptor) == nil)
    let dma = try #require(rig.device.services).dma
    try dma.write(at: DMAAddress(0x10ffe), from: [1, 2, 3, 4].rawSpan)
    var bytes = [UInt8](repeating: 0, count: 4)
    try bytes.withMutableRawSpan { try file.read(at: 0xffe, into: &$0) }
    #expect(bytes == [1, 2, 3, 4])
    #expect(try dma.load(at: DMAAddress(0x10ffe), as: UInt32.self) == 0x0403_0201)
    #expect(try rig.turn() == nil)
  }

  @Test("E4: memory that the client keeps is read and written by messages")
  func byMessages() throws {
    let rig = try TestRig()
    #expect(try rig.map(0x10000, 8192) == nil)
    let dma = try #require(rig.device.services).dma
    var result: Result<[UInt8], DMAError>?
    dma.read(at: DMAAddress(0x10100), byteCount: 4) { result = $0 }
    let request = try #require(try rig.turn())
    #expect(request.header.command == .dmaRead)
    try rig.peer.sendRaw(
      TestPeer.frame(
        .reply(to: request.header, payloadByteCount: 20), request.payload + [9, 8, 7, 6]))
    try rig.work()
    #expect(try result?.get() == [9, 8, 7, 6])

    var written: Result<Void, DMAError>?
    dma.write(at: DMAAddress(0x10100), bytes: [1, 2]) { written = $0 }
    let write = try #require(try rig.turn())
    #expect(write.payload.suffix(2) == [1, 2])
    try rig.peer.sendRaw(TestPeer.frame(.reply(to: write.header), []))
    try rig.work()
    try written?.get()
    #expect(written != nil)
  }

  @Test("E4: long reads take messages whose replies a socket takes as a whole")
  func longRead() throws {
    let rig = try TestRig()
    #expect(try rig.map(0x10000, 0x40000) == nil)
    let dma = try #require(rig.device.services).dma
    let (first, byteCount) = (0x10010, 100_000)
    var result: Result<[UInt8], DMAError>?
    dma.read(at: DMAAddress(UInt64(first)), byteCount: byteCount) { result = $0 }
    var done = 0
    while result == nil {
      let request = try #require(try rig.turn())
      func word(_ at: Int) -> Int {
        request.payload[at..<(at + 8)].reversed().reduce(0) { $0 << 8 | Int($1) }
      }
      let (place, count) = (word(0), word(8))
      #expect(place == first + done && count == min(32_768, byteCount - done))
      let data = (done..<(done + count)).map { UInt8(truncatingIfNeeded: $0 >> 8 ^ $0) }
      done += count
      try rig.peer.sendRaw(
        TestPeer.frame(
          .reply(to: request.header, payloadByteCount: 16 + count), request.payload + data))
      try rig.work()
    }
    #expect(done == byteCount)
    #expect(
      try result?.get() == (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 >> 8 ^ $0) })
  }

  @Test("E4: a long read ends with the first message that fails")
  func longReadFails() throws {
    let rig = try TestRig()
    #expect(try rig.map(0x10000, 0x40000) == nil)
    let dma = try #require(rig.device.services).dma
    var results: [Result<[UInt8], DMAError>] = []
    dma.read(at: DMAAddress(0x10000), byteCount: 100_000) { results.append($0) }
    let request = try #require(try rig.turn())
    try rig.peer.sendRaw(TestPeer.frame(.errorReply(to: request.header, .badAddress), []))
    #expect(try rig.turn() == nil, "nothing further is asked for")
    #expect(results.count == 1)
    #expect(throws: DMAError.self) { try results[0].get() }
  }

  @Test(
    "E4: a client with a 4-byte count, recognised by its proposal, gets its data where it looks")
  func narrowCount() throws {
    let rig = try TestRig(negotiate: false)
    let proposal = Array(
      """
      {"capabilities":{"migration":{"pgsize":4096,"max_bitmap_size":268435456},"max_msg_fds":16,\
      "max_data_xfer_size":1048576,"pgsizes":4096,"max_dma_maps":65535,"write_multiple":true}}
      """.utf8)
    _ = try rig.call(.version, [0, 0, 0, 0] + proposal + [0])
    #expect(try rig.map(0x10000, 8192) == nil)
    let dma = try #require(rig.device.services).dma
    var written = false
    dma.write(at: DMAAddress(0x10100), bytes: [1, 2, 3]) { written = (try? $0.get()) != nil }
    let write = try #require(try rig.turn())
    #expect(Array(write.payload.dropFirst(8)) == [3, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0])
    try rig.peer.sendRaw(TestPeer.frame(.reply(to: write.header), []))
    try rig.work()
    #expect(written)
    var result: Result<[UInt8], DMAError>?
    dma.read(at: DMAAddress(0x10100), byteCount: 3) { result = $0 }
    let request = try #require(try rig.turn())
    try rig.peer.sendRaw(
      TestPeer.frame(
        .reply(to: request.header, payloadByteCount: 19),
        Array(request.payload.prefix(12)) + [9, 8, 7, 0, 0, 0, 0]))
    try rig.work()
    #expect(try result?.get() == [9, 8, 7])
  }

  @Test("V9: a reply to our DMA message is consumed while an access is deferred behind commands")
  func crossing() throws {
    let rig = try TestRig()
    #expect(try rig.map(0x10000, 8192) == nil)
    try rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
    try rig.work()
    let dma = try #require(rig.device.services).dma
    var result: Result<[UInt8], DMAError>?
    dma.read(at: DMAAddress(0x10000), byteCount: 2) { result = $0 }
    let request = try #require(try rig.turn())
    // A command crosses our request; its reply has to wait for the deferred access.
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 4))
    try rig.peer.sendRaw(
      TestPeer.frame(.reply(to: request.header, payloadByteCount: 18), request.payload + [5, 6]))
    #expect(try rig.turn() == nil)
    #expect(try result?.get() == [5, 6])
    rig.device.slow.replies[0].complete()
    try rig.work()
    #expect(try rig.peer.receive() != nil)
    #expect(try rig.peer.receive() != nil)
  }

  @Test("E5: an access outside a grant, against its rights or after its unmap fails")
  func rights() throws {
    let rig = try TestRig()
    let file = try SharedMemory(byteCount: 4096)
    #expect(try rig.map(0x1000, 4096, .read, file: file.rawDescriptor) == nil)
    let dma = try #require(rig.device.services).dma
    func code(_ body: () throws(DMAError) -> Void) -> DMAError.Code? {
      do throws(DMAError) {
        try body()
        return nil
      } catch { return error.code }
    }
    #expect(
      code { () throws(DMAError) in
        try dma.write(at: DMAAddress(0x1000), from: [1].rawSpan)
      } == .notPermitted)
    #expect(
      code { () throws(DMAError) in _ = try dma.load(at: DMAAddress(0x1ffd), as: UInt32.self) }
        == .notMapped)
    #expect(
      code { () throws(DMAError) in _ = try dma.load(at: DMAAddress(0xfff), as: UInt8.self) }
        == .notMapped)
    #expect(try rig.unmap(0x1000, 4096) == nil)
    #expect(
      code { () throws(DMAError) in _ = try dma.load(at: DMAAddress(0x1000), as: UInt8.self) }
        == .notMapped)
  }

  @Test("E5: the reply to an unmap waits for a lease on its range, and for no other")
  func leases() throws {
    let rig = try TestRig()
    let file = try SharedMemory(byteCount: 8192)
    #expect(try rig.map(0x1000, 4096, file: file.rawDescriptor) == nil)
    #expect(try rig.map(0x2000, 4096, file: file.rawDescriptor, fileOffset: 4096) == nil)
    let dma = try #require(rig.device.services).dma
    let range = try #require(DMARange(address: DMAAddress(0x1800), byteCount: 16))
    let lease = try dma.lease(range, [.read, .write])
    #expect(try rig.unmap(0x2000, 4096) == nil)
    try rig.peer.send(DMAUnmapRequest(address: DMAAddress(0x1000), byteCount: 4096))
    #expect(try rig.turn() == nil)
    try lease.write(at: 0, from: [42].rawSpan)
    lease.end()
    #expect(try rig.turn()?.header.command == .dmaUnmap)
    #expect(throws: Errno.notPermitted) { try lease.write(at: 0, from: [42].rawSpan) }
  }

  @Test(
    "V8, E5: commands behind an unmap wait until it is done, whether it wants a reply or not",
    arguments: [false, true])
  func commandsBehindUnmap(isPosted: Bool) throws {
    let rig = try TestRig()
    let file = try SharedMemory(byteCount: 4096)
    #expect(try rig.map(0x1000, 4096, file: file.rawDescriptor) == nil)
    let dma = try #require(rig.device.services).dma
    let range = try #require(DMARange(address: DMAAddress(0x1800), byteCount: 16))
    let lease = try dma.lease(range, [.read, .write])
    try rig.peer.send(
      DMAUnmapRequest(address: DMAAddress(0x1000), byteCount: 4096),
      flags: isPosted ? .noReply : [])
    try rig.peer.send(.regionWrite, TestPeer.writePayload(0, 0, [7]))
    try rig.peer.send(
      DMAMapRequest(rights: .read, address: DMAAddress(0x1000), byteCount: 4096))
    #expect(try rig.turn() == nil)
    #expect(rig.device.memory.writeCount == 0)
    #expect(!rig.device.events.contains { $0.hasPrefix("unmapped") })
    lease.end()
    if !isPosted { #expect(try rig.turn()?.header.command == .dmaUnmap) }
    #expect(try rig.turn()?.header.command == .regionWrite)
    #expect(try rig.turn()?.header.failure == nil)
    #expect(rig.device.memory.writeCount == 1)
    #expect(rig.host.table.count == 1)
  }

  @Test("V9: the device's messages are answered while an unmap waits for its range")
  func messagesDuringUnmap() throws {
    let rig = try TestRig()
    let file = try SharedMemory(byteCount: 4096)
    #expect(try rig.map(0x1000, 4096, file: file.rawDescriptor) == nil)
    #expect(try rig.map(0x10000, 4096) == nil)
    let dma = try #require(rig.device.services).dma
    let range = try #require(DMARange(address: DMAAddress(0x1800), byteCount: 16))
    let lease = try dma.lease(range, [.read, .write])
    try rig.peer.send(DMAUnmapRequest(address: DMAAddress(0x1000), byteCount: 4096))
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 1))
    try rig.work()
    // The device goes on: what it has in flight may need the client to end.
    dma.read(at: DMAAddress(0x10000), byteCount: 2) { _ in lease.end() }
    let request = try #require(try rig.turn())
    #expect(request.header.command == .dmaRead)
    try rig.peer.sendRaw(
      TestPeer.frame(.reply(to: request.header, payloadByteCount: 18), request.payload + [5, 6]))
    #expect(try rig.turn()?.header.command == .dmaUnmap)
    #expect(try rig.turn()?.header.command == .regionRead)
  }

  @Test("V11: a client that goes while its unmap waits leaves a device that serves the next one")
  func hangupDuringUnmap() throws {
    let rig = try TestRig()
    let file = try SharedMemory(byteCount: 4096)
    #expect(try rig.map(0x1000, 4096, file: file.rawDescriptor) == nil)
    let dma = try #require(rig.device.services).dma
    let range = try #require(DMARange(address: DMAAddress(0x1800), byteCount: 16))
    let lease = try dma.lease(range, [.read, .write])
    try rig.peer.send(DMAUnmapRequest(address: DMAAddress(0x1000), byteCount: 4096))
    try rig.peer.send(.regionRead, TestPeer.readPayload(0, 0, 1))
    try rig.work()
    try rig.hangUp()
    #expect(rig.end == .clientClosed)
    #expect(rig.host.isOccupied)
    lease.end()
    try rig.work()
    #expect(!rig.host.isOccupied)
    try rig.reconnect()
    #expect(try rig.map(0x1000, 4096, file: file.rawDescriptor) == nil)
    #expect(try rig.read(0, 0, 1) == [0])
  }

  @Test("V6: a map over an existing range is EEXIST, an unmap must match exactly")
  func exactness() throws {
    let rig = try TestRig()
    #expect(try rig.map(0x10000, 0x4000) == nil)
    #expect(try rig.map(0x10000, 0x4000) == .fileExists)
    #expect(try rig.map(0x13fff, 1) == .fileExists)
    #expect(try rig.map(0xf000, 0x1001) == .fileExists)
    #expect(try rig.map(0x14000, 0x1000) == nil)
    #expect(try rig.unmap(0x10000, 0x3fff) == .invalidArgument)
    #expect(try rig.unmap(0x10001, 0x3fff) == .invalidArgument)
    #expect(try rig.unmap(0x10000, 0x5000) == .invalidArgument)
    #expect(try rig.unmap(0x90000, 0x1000) == .noSuchFileOrDirectory)
    #expect(try rig.unmap(0x10000, 0x4000) == nil)
    #expect(try rig.map(0xffff_ffff_ffff_f000, 0x1000) == nil)
    #expect(try rig.map(0xffff_ffff_ffff_f000, 0x1001) == .invalidArgument)
  }

  @Test("E5: an access may cross from one grant into the next, but not into a gap")
  func crossingGrants() throws {
    let rig = try TestRig()
    let file = try SharedMemory(byteCount: 8192)
    #expect(try rig.map(0x1000, 4096, file: file.rawDescriptor) == nil)
    #expect(try rig.map(0x2000, 4096, file: file.rawDescriptor, fileOffset: 4096) == nil)
    let dma = try #require(rig.device.services).dma
    try dma.store(UInt64(0x1122_3344_5566_7788), at: DMAAddress(0x1ffc))
    #expect(try dma.load(at: DMAAddress(0x1ffc), as: UInt64.self) == 0x1122_3344_5566_7788)
    #expect(throws: DMAError.self) { try dma.store(UInt64(1), at: DMAAddress(0x2ffc)) }
    #expect(try dma.load(at: DMAAddress(0x2ffc), as: UInt32.self) == 0, "nothing was written")
  }

  @Test("A file that shrinks under its mapping fails the access and spares the process")
  func shrunkFile() throws {
    try BusErrorGuard.install()
    let rig = try TestRig()
    var template = Array("/tmp/vfio-user-shrink-XXXXXX".utf8CString)
    let raw = mkstemp(&template)
    unlink(template)
    defer { close(raw) }
    ftruncate(raw, 8192)
    #expect(try rig.map(0x1000, 8192, file: raw) == nil)
    let dma = try #require(rig.device.services).dma
    #expect(try dma.load(at: DMAAddress(0x2000), as: UInt32.self) == 0)
    ftruncate(raw, 0)
    #expect(throws: DMAError.self) { try dma.load(at: DMAAddress(0x2000), as: UInt32.self) }
    #expect(throws: DMAError.self) { try dma.store(UInt32(1), at: DMAAddress(0x1000)) }
  }
}
