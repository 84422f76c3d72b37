import NVMe
import Testing

@testable import VFIOUser

@Suite("NVMe PRPs", .timeLimit(.minutes(10)), .serialized)
struct PRPTests {
  /// A shape of data: how much, where it starts in its page, where its list starts.
  struct Shape: CustomTestStringConvertible, Sendable {
    var byteCount: Int
    var firstOffset = 0
    var listOffset = 0
    var testDescription: String { "\(byteCount) bytes at \(firstOffset), list at \(listOffset)" }
  }

  /// Writes and reads data of a shape: every byte arrives where it belongs, and no other changes.
  private func exercise(
    _ rig: NVMeRig, _ storage: ProbeStorage, arena: Range<Int>, _ shape: Shape, pageByteCount: Int,
    seed: Int
  ) throws {
    let layout = try PRPLayout(
      rig, arena: arena.lowerBound, byteCount: shape.byteCount, firstOffset: shape.firstOffset,
      listOffset: shape.listOffset, pageByteCount: pageByteCount)
    let blocks = shape.byteCount / 512
    let written = Pattern.bytes(shape.byteCount, seed: seed)
    try layout.scatter(written, rig)
    #expect(
      try rig.status(.write, block: 3, count: blocks, prp1: layout.prp1, prp2: layout.prp2)
        == .success, "\(shape)")
    #expect(storage.contents(at: 1536, shape.byteCount) == written, "\(shape)")

    let other = Pattern.bytes(shape.byteCount, seed: seed + 77)
    storage.fill(other, at: 1536)
    var image = [UInt8](repeating: 0xee, count: arena.count)
    try rig.write(image, arena.lowerBound)
    #expect(
      try rig.status(.read, block: 3, count: blocks, prp1: layout.prp1, prp2: layout.prp2)
        == .success, "\(shape)")
    layout.scatter(other, into: &image, from: arena.lowerBound)
    #expect(try rig.bytes(arena.lowerBound, arena.count) == image, "\(shape)")
  }

  private func exercise(
    _ shapes: [Shape], pageShift: Int = 0, isMapped: Bool = true, mdts: Int = 9
  ) throws {
    let storage = try ProbeStorage(byteCount: 4 << 20)
    let rig = try NVMeRig(
      "mdts=\(mdts)", storages: [storage], isMapped: isMapped, isEnabled: false)
    try rig.enable(NVMeRig.usualConfiguration | UInt32(pageShift) << 7)
    let pageByteCount = 4096 << pageShift
    let most = shapes.map(\.byteCount).max() ?? 0
    let room = PRPLayout.arenaByteCount(most, pageByteCount)
    let arena = rig.allocate(room, pageByteCount: pageByteCount)
    for (index, shape) in shapes.enumerated() {
      try exercise(
        rig, storage, arena: arena..<(arena + room), shape, pageByteCount: pageByteCount,
        seed: index * 101)
    }
  }

  @Test(
    "E4: data of one page, of two and of a list arrives whole, wherever it starts",
    arguments: [true, false])
  func shapes(isMapped: Bool) throws {
    try exercise(
      [512, 4096, 8192, 12288, 65_536].flatMap { byteCount in
        [0, 4, 512, 2052, 4092].map { Shape(byteCount: byteCount, firstOffset: $0) }
      }, isMapped: isMapped)
  }

  @Test(
    "E4: a list may start anywhere in its page, and go on in further ones",
    arguments: [true, false])
  func lists(isMapped: Bool) throws {
    try exercise(
      [8, 2048, 4072, 4080, 4088].flatMap { listOffset in
        [12288, 16384, 65_536].map { Shape(byteCount: $0, listOffset: listOffset) }
      }, isMapped: isMapped)
  }

  @Test(
    "E4: lists of a whole page, one entry fewer and one more are followed",
    arguments: [
      Shape(byteCount: 2 << 20), Shape(byteCount: 2 << 20, firstOffset: 4),
      Shape(byteCount: 2 << 20, firstOffset: 4, listOffset: 8),
      Shape(byteCount: 2 << 20, listOffset: 8), Shape(byteCount: 2 << 20, listOffset: 16),
      Shape(byteCount: 2 << 20, firstOffset: 512, listOffset: 4088),
    ])
  func long(shape: Shape) throws { try exercise([shape]) }

  @Test("E2: memory pages of 8 to 64 KiB are PRPs' pages as well", arguments: [1, 2, 4])
  func largePages(pageShift: Int) throws {
    let page = 4096 << pageShift
    try exercise(
      [4096, page, page + 512, 2 * page, 3 * page, 1 << 20].flatMap { byteCount in
        [0, 4, 4096, page - 4].map { Shape(byteCount: byteCount, firstOffset: $0) }
      } + [8, page - 8, page - 16].map { Shape(byteCount: 1 << 20, listOffset: $0) },
      pageShift: pageShift)
  }

  // MARK: What is refused

  /// What is done to the PRPs of 16 KiB that are right, and what the controller says.
  struct Fault: CustomTestStringConvertible, Sendable {
    var name: String
    var byteCount = 16384
    var firstOffset = 0
    var listOffset = 0
    var status = NVMeStatus.invalidPRPOffset
    var change:
      @Sendable (_ rig: NVMeRig, _ layout: PRPLayout, _ entry: inout SubmissionQueueEntry) throws ->
        Void
    var testDescription: String { name }
  }

  private static let nowhere: UInt64 = 0x7000_0000
  static let faults: [Fault] = [
    Fault(name: "PRP1 off a dword by 1") { _, _, entry in entry.prp1 += 1 },
    Fault(name: "PRP1 off a dword by 2", byteCount: 512) { _, _, entry in entry.prp1 += 2 },
    Fault(name: "PRP2 with an offset, for a second page", byteCount: 8192) { _, _, entry in
      entry.prp2 += 4
    },
    Fault(name: "PRP2 with an offset, for the rest of a page", byteCount: 4096, firstOffset: 512) {
      _, _, entry in entry.prp2 += 512
    },
    Fault(name: "a list off a qword") { _, _, entry in entry.prp2 += 4 },
    Fault(name: "an entry with an offset") { rig, layout, _ in
      let entry = try rig.memory.load64(at: layout.entries[1])
      try rig.memory.store64(entry + 512, at: layout.entries[1])
    },
    Fault(name: "the last entry off a dword") { rig, layout, _ in
      let entry = try rig.memory.load64(at: layout.entries[2])
      try rig.memory.store64(entry + 1, at: layout.entries[2])
    },
    Fault(name: "a link with an offset", listOffset: 4080) { rig, layout, _ in
      let link = try rig.memory.load64(at: layout.links[0])
      try rig.memory.store64(link + 8, at: layout.links[0])
    },
    Fault(name: "PRP1 nowhere", status: .dataTransferError) { _, _, entry in
      entry.prp1 = nowhere
    },
    Fault(name: "PRP1 in the last page of all", byteCount: 512, status: .dataTransferError) {
      _, _, entry in entry.prp1 = 0xffff_ffff_ffff_f000
    },
    Fault(name: "PRP2 nowhere", byteCount: 8192, status: .dataTransferError) { _, _, entry in
      entry.prp2 = nowhere
    },
    Fault(name: "PRP2 is 0", byteCount: 8192, status: .dataTransferError) { _, _, entry in
      entry.prp2 = 0
    },
    Fault(name: "PRP2 just behind the memory", byteCount: 8192, status: .dataTransferError) {
      rig, _, entry in entry.prp2 = rig.address(NVMeRig.memoryByteCount)
    },
    Fault(name: "a list nowhere", status: .dataTransferError) { _, _, entry in
      entry.prp2 = nowhere
    },
    Fault(name: "a list in the last words of all", status: .dataTransferError) { _, _, entry in
      entry.prp2 = 0xffff_ffff_ffff_fff8
    },
    Fault(name: "an entry nowhere", status: .dataTransferError) { rig, layout, _ in
      try rig.memory.store64(nowhere, at: layout.entries[2])
    },
    Fault(name: "a link nowhere", listOffset: 4080, status: .dataTransferError) { rig, layout, _ in
      try rig.memory.store64(nowhere, at: layout.links[0])
    },
  ]

  @Test(
    "E17: PRPs that cannot be are refused, nothing is moved, and the device goes on",
    arguments: faults, [true, false])
  func refused(fault: Fault, isMapped: Bool) throws {
    let storage = try ProbeStorage(byteCount: 1 << 20)
    let rig = try NVMeRig(storages: [storage], isMapped: isMapped)
    let arena = rig.allocate(PRPLayout.arenaByteCount(16384))
    let layout = try PRPLayout(
      rig, arena: arena, byteCount: fault.byteCount, firstOffset: fault.firstOffset,
      listOffset: fault.listOffset)
    var entry = SubmissionQueueEntry(
      .write, block: 9, count: fault.byteCount / 512, prp1: layout.prp1, prp2: layout.prp2)
    #expect(try rig.status(entry) == .success)
    storage.forgetRequests()
    try fault.change(rig, layout, &entry)
    for opcode in [IOOpcode.write, .read, .compare] {
      entry.opcode = opcode.rawValue
      let completion = try rig.run(entry)
      #expect(rig.checked(completion.status) == fault.status)
      let error = try rig.lastError
      #expect(error.commandIdentifier == completion.commandIdentifier)
      #expect(error.submissionQueue == 1 && error.namespace == 1 && error.block == 9)
      #expect(error.parameterLocation == 24)
    }
    #expect(storage.requests.isEmpty)
    #expect(try rig.status(.read) == .success)
  }

  @Test("E5: data goes only where the client's grants let it", arguments: [true, false])
  func rights(isMapped: Bool) throws {
    let storage = try ProbeStorage()
    let rig = try NVMeRig(storages: [storage], isMapped: isMapped)
    let address: UInt64 = 0x9000_0000
    let granted = try SharedMemory(byteCount: 65_536)
    if isMapped {
      try rig.client.mapMemory(granted, at: DMAAddress(address), rights: .read)
    } else {
      try rig.client.mapPrivateMemory(granted, at: DMAAddress(address), rights: .read)
    }
    #expect(try rig.status(.write, prp1: address) == .success)
    #expect(try rig.status(.compare, prp1: address) == .success)
    storage.forgetRequests()
    #expect(try rig.status(.read, prp1: address) == .dataTransferError)
    // The second page of two is beyond the grant.
    let last = address + 65_536 - 4096
    #expect(
      try rig.status(.write, count: 16, prp1: last, prp2: last + 4096) == .dataTransferError)
    #expect(storage.requests.isEmpty)
    try rig.client.unmapMemory(at: DMAAddress(address), byteCount: 65_536)
    #expect(try rig.status(.write, prp1: address) == .dataTransferError)
  }
}
