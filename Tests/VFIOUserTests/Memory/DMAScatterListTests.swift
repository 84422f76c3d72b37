import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Scatter lists") struct DMAScatterListTests {
  private static func bytes(_ list: DMAScatterList, _ range: Range<Int>) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xee, count: range.count)
    try bytes.withMutableRawSpan { (span) throws(DMAError) in
      try list.read(at: range.lowerBound, into: &span)
    }
    return bytes
  }

  @Test("E4: stretches that touch are joined, and the others keep their order")
  func joined() throws {
    let rig = try MemoryRig()
    let memory = try SharedMemory(byteCount: 65536)
    try rig.map(0x10000, memory)
    let list = DMAScatterList(rig.engine)
    #expect(list.isMapped && list.segmentCount == 0)
    try list.append(DMAAddress(0x11000), 4096, .write)
    try list.append(DMAAddress(0x12000), 4096, .write)
    try list.append(DMAAddress(0x10000), 4096, .write)
    try list.append(DMAAddress(0x10000), 0, .write)
    #expect(list.segmentCount == 2)
    #expect(list.byteCount == 12288)
    #expect(list.isMapped)
    try list.write(at: 8190, from: [1, 2, 3, 4].rawSpan)
    #expect(try memory.load32(at: 0x2ffc) == 0x0201_0000)
    #expect(try memory.load32(at: 0) == 0x0403)
    for index in 0..<20 { try list.append(DMAAddress(0x10000 + UInt64(index) * 128), 64, .write) }
    #expect(list.segmentCount == 22)
    list.removeAll()
    #expect(list.byteCount == 0 && list.segmentCount == 0)
  }

  @Test("E5: what is not granted, or not with this right, is not added")
  func refused() throws {
    let rig = try MemoryRig()
    try rig.map(0x1000, try SharedMemory(byteCount: 4096), .read)
    try rig.mapMessages(0x2000, 4096, .write)
    let list = DMAScatterList(rig.engine)
    func add(_ address: UInt64, _ count: Int, _ rights: DMARights) -> DMAError.Code? {
      failure { () throws(DMAError) in try list.append(DMAAddress(address), count, rights) }
    }
    #expect(add(0x1000, 4096, .write) == .notPermitted)
    #expect(add(0x1000, 4096, [.read, .write]) == .notPermitted)
    #expect(add(0x1800, 4096, .read) == .notPermitted)
    #expect(add(0xfff, 16, .read) == .notMapped)
    #expect(add(0x2fff, 2, .write) == .notMapped)
    #expect(add(0x1000, -1, .read) == .notMapped)
    #expect(add(0x1000, .min, .read) == .notMapped)
    #expect(add(.max, 1, .read) == .notMapped)
    #expect(add(.max, .max, .read) == .notMapped)
    rig.engine.isEnabled = false
    #expect(add(0x1000, 16, .read) == .disabled)
    rig.engine.isEnabled = true
    #expect(list.byteCount == 0 && list.segmentCount == 0)
    #expect(add(0x1000, 4096, .read) == nil)
    #expect(
      failure { () throws(DMAError) in try list.write(at: 0, from: [1].rawSpan) } == .notPermitted)
    #expect(failure { () throws(DMAError) in try list.fill() } == .notPermitted)
    for offset in [-1, 4096, .max, .min] {
      var byte: [UInt8] = [0]
      let code = failure { () throws(DMAError) in
        try byte.withMutableRawSpan { (span) throws(DMAError) in
          try list.read(at: offset, into: &span)
        }
      }
      #expect(code == .notMapped)
    }
  }

  @Test(
    "E4: lists of every mixture copy, fill and compare as plain arrays do", arguments: 0..<30)
  func againstModel(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rig = try MemoryRig()
    rig.client.maximumTransferByteCount = 300
    // Two grants that touch, one that the client serves, and a buffer.
    let memory = try SharedMemory(byteCount: 8192)
    try rig.map(0x1000, memory, byteCount: 4096)
    try rig.map(0x2000, memory, byteCount: 4096, offset: 4096)
    try rig.mapMessages(0x3000, 4096)
    let buffer = IOBuffer(byteCount: 4096)
    var model = [UInt8](repeating: 0, count: 0x4000)
    let lists = [DMAScatterList(rig.engine), DMAScatterList(rig.engine)]
    for _ in 0..<40 {
      // Each list as the places in the model that its bytes stand for; no byte is in both.
      var places: [[Int]] = [[], []]
      for (number, list) in lists.enumerated() {
        list.removeAll()
        for _ in 0..<Int.random(in: 0..<6, using: &random) {
          let half = number * 2048
          let count = Int.random(in: 1...700, using: &random)
          let within = half + Int.random(in: 0...(2048 - count), using: &random)
          switch Int.random(in: 0..<4, using: &random) {
          case 0:
            list.append(buffer, at: within, byteCount: count)
            places[number] += within..<(within + count)
          case let grant:
            let address = 0x1000 * grant + within
            try list.append(DMAAddress(UInt64(address)), count, [.read, .write])
            places[number] += address..<(address + count)
          }
        }
        // Segments of a list may overlap each other: only reading is well defined then.
        let taken = Set(places[number])
        guard taken.count == places[number].count else {
          list.removeAll()
          places[number] = []
          continue
        }
      }
      let (left, right) = (places[0], places[1])
      #expect(lists[0].byteCount == left.count)
      let start = Int.random(in: 0...left.count, using: &random)
      let count = Int.random(in: 0...(left.count - start), using: &random)
      switch Int.random(in: 0..<5, using: &random) {
      case 0:
        let data = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
        try lists[0].write(at: start, from: data.rawSpan)
        for (index, byte) in data.enumerated() { model[left[start + index]] = byte }
      case 1:
        try lists[0].fill(at: start, byteCount: count, 0x5a)
        for index in 0..<count { model[left[start + index]] = 0x5a }
      case 2:
        let common = min(left.count, right.count)
        try lists[0].copy(to: lists[1])
        for index in 0..<common { model[right[index]] = model[left[index]] }
        #expect(try lists[0].matches(lists[1]))
      case 3:
        let part = DMAScatterList(rig.engine)
        try part.append(contentsOf: lists[0], at: start, byteCount: count)
        #expect(part.byteCount == count)
        #expect(try Self.bytes(part, 0..<count) == left[start..<(start + count)].map { model[$0] })
        #expect(
          failure { () throws(DMAError) in
            try part.append(contentsOf: lists[0], at: start, byteCount: left.count - start + 1)
          } == .notMapped)
      default:
        let common = min(left.count, right.count)
        let isSame = (0..<common).allSatisfy { model[left[$0]] == model[right[$0]] }
        #expect(try lists[0].matches(lists[1]) == isSame)
      }
      #expect(
        try Self.bytes(lists[0], start..<(start + count))
          == left[start..<(start + count)].map { model[$0] })
    }
    var inMemory = [UInt8](repeating: 0, count: 8192)
    try inMemory.withMutableRawSpan { try memory.read(at: 0, into: &$0) }
    #expect(inMemory == Array(model[0x1000..<0x3000]))
    #expect(Array(rig.client.memory[0x3000..<0x4000]) == Array(model[0x3000..<0x4000]))
  }

  @Test("E5: a list follows the grants: memory taken back fails it, memory moved is found again")
  func followsGrants() throws {
    let rig = try MemoryRig()
    let memory = try SharedMemory(byteCount: 4096)
    try rig.map(0x1000, memory)
    let list = DMAScatterList(rig.engine)
    try list.append(DMAAddress(0x1000), 4096, [.read, .write])
    try rig.unmap(0x1000, 4096)
    #expect(!list.isMapped)
    #expect(failure { () throws(DMAError) in try list.fill() } == .notMapped)
    let other = try SharedMemory(byteCount: 4096)
    try rig.map(0x1000, other)
    #expect(list.isMapped)
    try list.fill(7)
    #expect(try other.load32(at: 4092) == 0x0707_0707)
    #expect(try memory.load32(at: 4092) == 0)
    rig.engine.isEnabled = false
    #expect(!list.isMapped)
    #expect(failure { () throws(DMAError) in try list.fill() } == .disabled)
  }

  @Test("E9: a transfer keeps its memory in place: an unmap waits until it has ended")
  func leases() throws {
    let rig = try MemoryRig()
    let memory = try SharedMemory(byteCount: 8192)
    let first = try rig.map(0x1000, memory, byteCount: 4096)
    let second = try rig.map(0x2000, memory, byteCount: 4096, offset: 4096)
    let buffer = IOBuffer(byteCount: 4096)
    let list = DMAScatterList(rig.engine)
    try list.append(DMAAddress(0x1800), 4096, [.read, .write])
    list.append(buffer, byteCount: 100)
    try list.append(DMAAddress(0x1000), 512, [.read, .write])
    list.beginTransfer()
    #expect(!first.leases.isIdle && !second.leases.isIdle && !rig.ledger.isIdle)
    try rig.unmap(0x1000, 4096)
    #expect(list.isMapped, "its addresses stay")
    try list.fill(9)
    #expect(try memory.load32(at: 0) == 0x0909_0909)
    #expect(try buffer.load(at: 96, as: UInt32.self) == 0x0909_0909)
    list.endTransfer()
    #expect(first.leases.isIdle && second.leases.isIdle && rig.ledger.isIdle)
    #expect(!list.isMapped)
    list.endTransfer()
    #expect(rig.ledger.isIdle)
    list.removeAll()
    list.append(buffer, byteCount: 100)
    list.beginTransfer()
    #expect(rig.ledger.isIdle, "memory of our own holds nobody up")
    list.endTransfer()
  }

  @Test("E4: the vectors are the stretches, from any byte on")
  func vectors() throws {
    let rig = try MemoryRig()
    let memory = try SharedMemory(byteCount: 8192)
    try rig.map(0x1000, memory)
    let list = DMAScatterList(rig.engine)
    for index in 0..<8 { try list.append(DMAAddress(0x1000 + UInt64(index) * 512), 256, .read) }
    for offset in [0, 1, 255, 256, 300, 2047] {
      let lengths = list.withVectors(from: offset) { vectors in vectors.map(\.iov_len) }
      #expect(lengths.reduce(0, +) == 2048 - offset)
      #expect(lengths.count == 8 - offset / 256)
    }
    #expect(list.withVectors(from: 2048) { $0.count } == 0)
    let spread = list.withVectors(from: 300) { vectors -> Int in
      guard let first = vectors[0].iov_base, let last = vectors[6].iov_base else { return 0 }
      return last - first
    }
    #expect(spread == 6 * 512 - 44)
  }
}
