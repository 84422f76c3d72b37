import Testing

@testable import VFIOUser

@Suite("Granted memory") struct DMATableTests {
  /// The grants as plain ranges, searched one by one.
  private struct Model {
    var grants: [DMARange] = []

    func insertError(_ range: DMARange, _ capacity: Int) -> Errno? {
      if grants.contains(where: { $0.overlaps(range) }) { return .fileExists }
      return grants.count >= capacity ? .noSpace : nil
    }

    func removeError(_ range: DMARange) -> Errno? {
      if grants.contains(range) { return nil }
      return grants.contains { $0.overlaps(range) } ? .invalidArgument : .noSuchFileOrDirectory
    }

    func grant(holding address: UInt64) -> DMARange? {
      grants.first { $0.address.rawValue <= address && address <= $0.lastAddress.rawValue }
    }
  }

  private static func error(_ body: () throws(Errno) -> Void) -> Errno? {
    do throws(Errno) {
      try body()
      return nil
    } catch { return error }
  }

  /// Addresses near each other, far apart, and at both ends of the space.
  private static func randomRange(_ random: inout SeededGenerator) -> DMARange? {
    let count = UInt64.random(in: 1...(Bool.random(using: &random) ? 8 : 4096), using: &random)
    let address: UInt64 =
      switch Int.random(in: 0..<5, using: &random) {
      case 0: UInt64.random(in: 0..<64, using: &random)
      case 1: UInt64.random(in: (.max - 200)...(.max), using: &random)
      case 2: UInt64.random(in: 0...(.max), using: &random)
      default: UInt64.random(in: 0x10000..<0x20000, using: &random)
      }
    return DMARange(address: DMAAddress(address), byteCount: count)
  }

  @Test("E5: any order of grants and revocations is answered as by a plain list", arguments: 0..<20)
  func againstModel(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let capacity = 24
    let table = DMATable(capacity: capacity)
    var model = Model()
    for _ in 0..<600 {
      guard let range = Self.randomRange(&random) else { continue }
      let chosen =
        Int.random(in: 0..<3, using: &random) == 0
        ? (model.grants.randomElement(using: &random) ?? range) : range
      if Bool.random(using: &random) {
        let failure = Self.error { () throws(Errno) in
          try table.insert(DMAMapping(messages: chosen, rights: .read))
        }
        #expect(failure == model.insertError(chosen, capacity))
        if failure == nil { model.grants.append(chosen) }
      } else {
        let failure = Self.error { () throws(Errno) in
          #expect(try table.remove(chosen).range == chosen)
        }
        #expect(failure == model.removeError(chosen))
        if failure == nil { model.grants.removeAll { $0 == chosen } }
      }
      #expect(table.count == model.grants.count)
      let snapshot = table.snapshot
      var addresses: [UInt64] = [0, .max, UInt64.random(in: 0...(.max), using: &random)]
      for grant in model.grants {
        addresses += [
          grant.address.rawValue, grant.lastAddress.rawValue, grant.address.rawValue &- 1,
          grant.lastAddress.rawValue &+ 1,
        ]
      }
      for address in addresses {
        let found = snapshot.index(containing: address).map { snapshot.mappings[$0].range }
        #expect(found == model.grant(holding: address))
      }
    }
  }

  @Test("V6: 65,535 ranges are granted by message, the next is refused, and all are found")
  func manyGrants() throws {
    let table = DMATable(capacity: 65535)
    for index in 0..<UInt64(65535) {
      let range = try #require(DMARange(address: DMAAddress(index << 13), byteCount: 4096))
      try table.insert(DMAMapping(messages: range, rights: .read))
    }
    let next = try #require(DMARange(address: DMAAddress(1 << 40), byteCount: 1))
    #expect(throws: Errno.noSpace) {
      try table.insert(DMAMapping(messages: next, rights: .read))
    }
    let snapshot = table.snapshot
    var wrong = 0
    for index in 0..<65535 {
      let start = UInt64(index) << 13
      if snapshot.index(containing: start) != index { wrong += 1 }
      if snapshot.index(containing: start + 4095) != index { wrong += 1 }
      if snapshot.index(containing: start + 4096) != nil { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test(
    "V6, V11: a client grants 65,535 ranges by message and goes; the next one is served",
    arguments: [false, true])
  func manyGrantsByMessage(withOtherLoop: Bool) throws {
    let rig = try TestRig()
    let other = try LoopThread(name: "other", polling: .never)
    defer { other.end() }
    if withOtherLoop { _ = rig.device.services?.makeDMAEngine(on: other.loop) }
    for index in 0..<UInt64(65535) {
      let request = DMAMapRequest(
        rights: .read, address: DMAAddress(index << 12), byteCount: 4096)
      try rig.peer.send(request, flags: .noReply)
      if index % 256 == 0 { while rig.session.process() == .more {} }
    }
    try rig.work()
    #expect(rig.host.table.count == 65535)
    #expect(try rig.map(1 << 40, 4096) == .noSpace)
    try rig.peer.send(DMAUnmapRequest(address: DMAAddress(4096), byteCount: 4096))
    var reply: TestPeer.Message?
    try rig.work {
      reply = try rig.peer.receive()
      return reply != nil
    }
    #expect(reply?.header.command == .dmaUnmap)
    #expect(reply?.header.failure == nil)
    #expect(try rig.map(1 << 40, 4096) == nil)
    #expect(rig.host.table.snapshotCount == 0, "nobody has asked for the memory")
    try rig.hangUp()
    try rig.work { !rig.host.isOccupied }
    #expect(rig.host.table.count == 0)
    try rig.reconnect()
    #expect(try rig.read(0, 0, 1) == [0])
    // The other loop has its part in this end, too.
    try rig.hangUp()
    try rig.work { !rig.host.isOccupied }
  }

  /// A session with 2000 grants, and an engine on a loop that the test turns itself.
  private static func rigWithOtherLoop() throws -> (TestRig, EventLoop, DMAEngine) {
    let rig = try TestRig()
    let other = try EventLoop(polling: .never)
    let engine = try #require(rig.device.services).makeDMAEngine(on: other)
    try other.runOnce(timeout: .zero)
    for index in 0..<UInt64(2000) {
      let request = DMAMapRequest(
        rights: .read, address: DMAAddress(index << 12), byteCount: 4096)
      try rig.peer.send(request, flags: .noReply)
      if index % 256 == 0 { while rig.session.process() == .more {} }
    }
    try rig.work()
    #expect(rig.host.table.count == 2000)
    return (rig, other, engine)
  }

  @Test("V6: thousands of maps cost a loop that sleeps one notice, and nobody a snapshot")
  func mapsForOtherLoops() throws {
    let (rig, other, engine) = try Self.rigWithOtherLoop()
    let before = engine.generation
    try other.runOnce(timeout: .zero)
    #expect(engine.generation == before + 1)
    #expect(rig.host.table.snapshotCount == 0)
    let first = try #require(DMARange(address: DMAAddress(0), byteCount: 2000 << 12))
    #expect(engine.permits(first, .read))
    #expect(rig.host.table.snapshotCount == 1)
    // The next map is another notice, and the next access another snapshot.
    #expect(try rig.map(2000 << 12, 4096) == nil)
    try other.runOnce(timeout: .zero)
    let all = try #require(DMARange(address: DMAAddress(0), byteCount: 2001 << 12))
    #expect(engine.permits(all, .read))
    #expect(engine.permits(first, .read))
    #expect(rig.host.table.snapshotCount == 2)
    try rig.hangUp()
    try other.runOnce(timeout: .zero)
    try rig.work()
    #expect(!engine.permits(first, .read))
  }

  @Test("E5: an unmap waits for a loop that knows the grant, and costs no snapshot")
  func unmapsForOtherLoops() throws {
    let (rig, other, engine) = try Self.rigWithOtherLoop()
    try other.runOnce(timeout: .zero)
    let all = try #require(DMARange(address: DMAAddress(0), byteCount: 2000 << 12))
    #expect(engine.permits(all, .read))
    for index in 0..<UInt64(100) {
      try rig.peer.send(DMAUnmapRequest(address: DMAAddress(index << 12), byteCount: 4096))
      #expect(try rig.turn() == nil)
      try other.runOnce(timeout: .zero)
      #expect(try rig.turn()?.header.command == .dmaUnmap)
    }
    #expect(rig.host.table.snapshotCount == 1)
    #expect(!engine.permits(all, .read))
    #expect(rig.host.table.snapshotCount == 2)
    try rig.hangUp()
    try other.runOnce(timeout: .zero)
    try rig.work()
    #expect(!rig.host.isOccupied)
  }

  @Test("E5: one grant of the whole address space holds every address")
  func wholeSpace() throws {
    let table = DMATable(capacity: 4)
    let range = try #require(DMARange(address: DMAAddress(0), byteCount: .max))
    try table.insert(DMAMapping(messages: range, rights: .read))
    let last = try #require(DMARange(address: DMAAddress(.max), byteCount: 1))
    try table.insert(DMAMapping(messages: last, rights: .read))
    for (address, index) in [(0, 0), (1 << 63, 0), (UInt64.max - 1, 0), (UInt64.max, 1)] {
      #expect(table.snapshot.index(containing: address) == index)
    }
  }

  @Test("E4: where mappings run out, grants work through their files, and the process lives on")
  func outOfMappings() async {
    await #expect(processExitsWith: .success) {
      let file = try SharedMemory(byteCount: 4096)
      var mappings: [DMAMapping] = []
      // The same page again and again: the kernel cannot merge such mappings.
      while mappings.last?.access != .file, mappings.count < 70000 {
        let address = DMAAddress(UInt64(mappings.count) << 20)
        let range = try #require(DMARange(address: address, byteCount: 4096))
        mappings.append(
          try DMAMapping(
            range, rights: [.read, .write], file: file.descriptor.duplicate(), offset: 0))
      }
      let last = try #require(mappings.last)
      #expect(last.access == .file)
      #expect(mappings.count > MappingBudget.limit / 2)
      try last.copyIn(8, from: [1, 2, 3].rawSpan, 0..<3)
      var bytes = [UInt8](repeating: 0, count: 3)
      try bytes.withMutableRawSpan { (span) throws(Errno) in
        try mappings[0].copyOut(8, into: &span, 0..<3)
      }
      #expect(bytes == [1, 2, 3])
      // What needs mappings of its own still gets them.
      TestThread { _ = [UInt8](repeating: 1, count: 4 << 20) }.join()
      mappings.removeLast()
      mappings.removeLast()
      let again = try #require(DMARange(address: DMAAddress(0), byteCount: 4096))
      let mapped = try DMAMapping(
        again, rights: .read, file: file.descriptor.duplicate(), offset: 0)
      #expect(mapped.access == .mapped)
    }
  }
}
