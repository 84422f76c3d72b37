import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Client regions") struct ClientRegionTests {
  static func sparse(_ areas: [RegionArea], byteCount: UInt64 = 16384) -> RegionInfo {
    RegionInfo(
      index: 0, flags: [.read, .write, .mmap], byteCount: byteCount,
      capabilities: [.sparseMap(areas)])
  }

  @Test("E3: mapped parts are loads and stores, the others messages")
  func mapped() throws {
    let memory = try SharedMemory(byteCount: 16384)
    let server = try FakeServer { end in
      try end.greet()
      try end.answerRegionInfo(
        Self.sparse([
          RegionArea(offset: RegionOffset(4096), byteCount: 4096),
          RegionArea(offset: RegionOffset(12288), byteCount: 4096),
        ]), descriptors: [memory.rawDescriptor])
      // Only accesses outside the areas, and across their edges, come as messages.
      for offset: UInt64 in [0, 4094, 8192, 8190] {
        let read = try end.expect(.regionRead)
        let access = try RegionAccess(decoding: read.payload.rawSpan)
        #expect(access.offset.rawValue == offset)
        try end.reply(to: read, FakeServer.readReply(read, [1, 2, 3, 4]))
      }
    }
    let region = try server.connect().region(at: 0)
    #expect(region.mappedAreas.count == 2)
    try region.write(UInt32(0xdead_beef), at: RegionOffset(4096))
    #expect(try memory.load32(at: 4096) == 0xdead_beef)
    try memory.store32(7, at: 12288)
    #expect(try region.read(at: RegionOffset(12288), as: UInt32.self) == 7)
    try region.post(UInt16(0x1234), at: RegionOffset(8190))
    #expect(try region.read(at: RegionOffset(8190), as: UInt16.self) == 0x1234)
    try region.write(UInt64.max, at: RegionOffset(4099))
    #expect(try region.read(at: RegionOffset(4099), as: UInt64.self) == .max)
    #expect(try region.read(at: RegionOffset(4096), as: UInt8.self) == 0xef)
    try region.write(at: RegionOffset(5000), from: [1, 2, 3, 4, 5].rawSpan)
    #expect(try region.read(at: RegionOffset(5000), byteCount: 5) == [1, 2, 3, 4, 5])
    for offset: UInt64 in [0, 4094, 8192, 8190] {
      #expect(try region.read(at: RegionOffset(offset), as: UInt32.self) == 0x0403_0201)
    }
    server.join()
  }

  @Test("Without mapping, all accesses are messages")
  func unmapped() throws {
    let memory = try SharedMemory(byteCount: 16384)
    let server = try FakeServer { end in
      try end.greet()
      try end.answerRegionInfo(
        Self.sparse([RegionArea(offset: RegionOffset(0), byteCount: 4096)]),
        descriptors: [memory.rawDescriptor])
      let read = try end.expect(.regionRead)
      try end.reply(to: read, FakeServer.readReply(read, [9]))
    }
    let region = try server.connect { $0.mapsRegions = false }.region(at: 0)
    #expect(region.mappedAreas.isEmpty)
    #expect(try region.read(at: RegionOffset(0), as: UInt8.self) == 9)
    server.join()
  }

  @Test("A region without areas is mapped whole, and only once asked for")
  func whole() throws {
    let memory = try SharedMemory(byteCount: 8192)
    let server = try FakeServer { end in
      try end.greet()
      try end.answerRegionInfo(
        RegionInfo(index: 0, flags: [.read, .mmap], byteCount: 8192),
        descriptors: [memory.rawDescriptor])
      // A read-only mapping is not stored to.
      let write = try end.expect(.regionWrite)
      try end.refuse(write, .permissionDenied)
    }
    let client = try server.connect()
    let region = try client.region(at: 0)
    #expect(try client.region(at: 0).info == region.info)
    #expect(region.mappedAreas == [RegionArea(offset: RegionOffset(0), byteCount: 8192)])
    let error = clientError { try region.write(UInt8(1), at: RegionOffset(0)) }
    #expect(error == ClientError(.rejected, .permissionDenied, ""))
    server.join()
  }

  @Test("E16: a file that is shorter than its region is not mapped")
  func shortFile() throws {
    let memory = try SharedMemory(byteCount: 4096)
    let server = try FakeServer { end in
      try end.greet()
      try end.answerRegionInfo(
        Self.sparse([
          RegionArea(offset: RegionOffset(0), byteCount: 4096),
          RegionArea(offset: RegionOffset(4096), byteCount: 4096),
        ]), descriptors: [memory.rawDescriptor])
    }
    let region = try server.connect().region(at: 0)
    #expect(region.mappedAreas.count == 1)
  }

  @Test("E16: a descriptor that cannot be mapped leaves messages")
  func unmappable() throws {
    let server = try FakeServer { end in
      try end.greet()
      let event = try EventDescriptor()
      try end.answerRegionInfo(Self.sparse([]), descriptors: [event.rawValue])
      let other = try EventDescriptor()
      try end.answerRegionInfo(
        RegionInfo(index: 1, flags: [.read, .mmap], byteCount: 4096),
        descriptors: [other.rawValue])
      try end.answerRegionInfo(RegionInfo(index: 2, flags: [.read, .mmap], byteCount: 4096))
    }
    let client = try server.connect()
    for index in 0..<3 { #expect(try client.region(at: index).mappedAreas.isEmpty) }
    server.join()
  }

  @Test("E16: surplus descriptors are closed and none leaks")
  func surplusDescriptors() throws {
    let witness = try DescriptorWitness()
    do {
      let many = [CInt](repeating: witness.rawValue, count: 20)
      let server = try FakeServer { end in
        try end.greet()
        try end.answerRegionInfo(
          RegionInfo(index: 0, flags: [.read, .write], byteCount: 4096), descriptors: many)
        let read = try end.expect(.regionRead)
        try end.reply(to: read, FakeServer.readReply(read, [1]), descriptors: many)
        _ = try end.next()
      }
      let region = try server.connect().region(at: 0)
      #expect(try region.read(at: RegionOffset(0), as: UInt8.self) == 1)
      // Closed with the reply, not only with the connection.
      #expect(witness.isOnlyHolder())
      region.client.close()
      server.join()
    }
  }

  @Test("I/O descriptors come with their entries, checked")
  func ioDescriptors() throws {
    let server = try FakeServer { end in
      try end.greet()
      try end.answerPlainRegion()
      let entry = RegionIODescriptor(
        offset: RegionOffset(0x10), byteCount: 4, descriptorIndex: 0, kind: .ioeventfd)
      let event = try EventDescriptor()
      let message = try end.expect(.deviceGetRegionIODescriptors)
      let good = RegionIODescriptors(index: 0, entries: [entry])
      try end.reply(to: message, good.encodedPayload(), descriptors: [event.rawValue])
      let empty = try end.expect(.deviceGetRegionIODescriptors)
      try end.reply(to: empty, RegionIODescriptors(index: 0, entries: []).encodedPayload())
      let bad = try end.expect(.deviceGetRegionIODescriptors)
      try end.reply(to: bad, good.encodedPayload())
    }
    let client = try server.connect()
    let region = try client.region(at: 0)
    let found = try client.ioDescriptors(region: region)
    #expect(found.entries.count == 1 && found.descriptorCount == 1)
    #expect(found.rawDescriptor(at: 0) != nil && found.rawDescriptor(at: 1) == nil)
    #expect(try client.ioDescriptors(region: region).entries.isEmpty)
    let error = clientError { _ = try client.ioDescriptors(region: region) }
    #expect(error?.code == .protocolViolation)
    server.join()
  }
}
