import NVMe
import Testing

@testable import VFIOUser

@Suite("NVMe SGLs", .timeLimit(.minutes(10)), .serialized)
struct SGLTests {
  private static let arena = SGLDescriptor.arena
  private static let segments = SGLDescriptor.segments

  private func makeRig(_ isMapped: Bool = true) throws -> (NVMeRig, ProbeStorage) {
    let storage = try ProbeStorage(byteCount: 4 << 20)
    let rig = try NVMeRig(storages: [storage], isMapped: isMapped)
    _ = try rig.commandQueue()
    _ = rig.allocate(0x100_0000)
    return (rig, storage)
  }

  /// Writes segments to guest memory; the last of a list that has several leads to the next.
  private func write(_ lists: [[SGLDescriptor]], _ rig: NVMeRig) throws -> SGLDescriptor {
    guard lists.count > 1 || lists[0].count > 1 else { return lists[0][0] }
    var place = Self.segments
    var head: SGLDescriptor?
    for (index, list) in lists.enumerated() {
      var list = list
      let count = list.count + (index < lists.count - 1 ? 1 : 0)
      let next = place + count * 16 + 48
      if index < lists.count - 1 {
        let isNextLast = index + 1 == lists.count - 1
        let following = lists[index + 1].count + (isNextLast ? 0 : 1)
        list.append(.segment(next, following, isLast: isNextLast))
      }
      if index == 0 { head = .segment(place, count, isLast: lists.count == 1) }
      try rig.write(
        words: list.flatMap { [$0.words(rig).0, $0.words(rig).1] }, place)
      place = next
    }
    return try #require(head)
  }

  private func command(
    _ opcode: IOOpcode, _ blocks: Int, _ head: SGLDescriptor, _ rig: NVMeRig, kind: UInt8 = 1
  ) -> SubmissionQueueEntry {
    let words = head.words(rig)
    var entry = SubmissionQueueEntry(
      opcode, block: 5, count: blocks, prp1: words.0, prp2: words.1)
    entry.dataPointerKind = kind
    return entry
  }

  /// Shapes of 16 KiB.
  private static let shapes: [[[SGLDescriptor]]] = [
    [[.data(arena, 16384)]],
    [[.data(arena + 1, 16384)]],
    // Longer than the data.
    [[.data(arena + 4093, 65_536)]],
    [[.data(arena + 7, 1), .data(arena + 0x8000, 16383)]],
    [[.data(arena, 8192), .data(arena + 0x4000, 0), .data(arena + 0x5001, 8192)]],
    [[.data(arena + 0x4000, 8192)], [.data(arena, 8192)]],
    [
      [.data(arena + 0x4000, 4096)], [.data(arena, 4000), .data(arena + 0x2000, 96)],
      [.data(arena + 0x8000, 8192), .data(arena + 0x3000, 512)],
    ],
    // A segment of nothing but the way to the next.
    [[], [.data(arena, 16384)]],
  ]

  @Test(
    "E4: SGLs of every shape name their bytes, in both directions",
    arguments: shapes.indices, [true, false])
  func arrives(index: Int, isMapped: Bool) throws {
    let (rig, storage) = try makeRig(isMapped)
    let shape = Self.shapes[index]
    let head = try write(shape, rig)
    let written = Pattern.bytes(16384)
    var done = 0
    for piece in shape.joined() {
      let count = min(piece.byteCount, 16384 - done)
      try rig.write(Array(written[done..<(done + count)]), piece.place)
      done += count
    }
    // Metadata by a pointer or by an SGL is all the same where there is none.
    for kind in [1, 2] as [UInt8] {
      storage.fill([UInt8](repeating: 0, count: 65_536))
      #expect(try rig.status(command(.write, 32, head, rig, kind: kind)) == .success)
      #expect(storage.contents(at: 2560, 16384) == written)
    }
    #expect(try rig.status(command(.compare, 32, head, rig)) == .success)

    let other = Pattern.bytes(16384, seed: 999)
    storage.fill(other, at: 2560)
    var image = [UInt8](repeating: 0xee, count: 0x1_8000)
    try rig.write(image, Self.arena)
    #expect(try rig.status(command(.read, 32, head, rig)) == .success)
    done = 0
    for piece in shape.joined() {
      let count = min(piece.byteCount, 16384 - done)
      let start = piece.place - Self.arena
      image.replaceSubrange(start..<(start + count), with: other[done..<(done + count)])
      done += count
    }
    #expect(try rig.bytes(Self.arena, image.count) == image)
  }

  @Test("E4: segments of more than a page of descriptors are followed")
  func manyDescriptors() throws {
    let (rig, storage) = try makeRig()
    let pieces = (0..<1000).map { SGLDescriptor.data(Self.arena + $0 * 2048 + $0 % 3, 512) }
    let head = try write([Array(pieces[..<300]), Array(pieces[300...])], rig)
    let written = Pattern.bytes(512_000)
    for (index, piece) in pieces.enumerated() {
      try rig.write(Array(written[(index * 512)..<(index * 512 + 512)]), piece.place)
    }
    #expect(try rig.status(command(.write, 1000, head, rig)) == .success)
    #expect(storage.contents(at: 2560, 512_000) == written)
  }

  @Test("E4: a bit bucket swallows what is read, and counts for nothing in what is written")
  func bitBucket() throws {
    let (rig, storage) = try makeRig()
    let head = try write(
      [[.data(Self.arena, 512), .bucket(1024), .data(Self.arena + 0x1000, 512)]], rig)
    storage.fill(Pattern.bytes(2048), at: 2560)
    try rig.write([UInt8](repeating: 0xee, count: 0x2000), Self.arena)
    #expect(try rig.status(command(.read, 4, head, rig)) == .success)
    #expect(try rig.bytes(Self.arena, 512) == Pattern.bytes(512))
    #expect(try rig.bytes(Self.arena + 0x1000, 512) == Pattern.bytes(512, seed: 1536))
    #expect(try rig.bytes(Self.arena + 512, 512) == [UInt8](repeating: 0xee, count: 512))
    #expect(try rig.status(command(.read, 4, .bucket(2048), rig)) == .success)

    let own = Pattern.bytes(1024, seed: 5000)
    try rig.write(Array(own[..<512]), Self.arena)
    try rig.write(Array(own[512...]), Self.arena + 0x1000)
    #expect(try rig.status(command(.write, 2, head, rig)) == .success)
    #expect(storage.contents(at: 2560, 1024) == own)
    // Two blocks of data are not four.
    #expect(try rig.status(command(.write, 4, head, rig)) == .invalidDataSGLLength)
  }

  /// Lists of descriptors that are wrong for 8 KiB, and the status.
  private static let faults: [(lists: [[SGLDescriptor]], status: NVMeStatus)] = [
    // Keyed, transport, vendor specific; an offset where an address belongs.
    ([[.other(0x40, 8192)]], .invalidSGLDescriptorType),
    ([[.other(0x50, 8192)]], .invalidSGLDescriptorType),
    ([[.other(0xf0, 8192)]], .invalidSGLDescriptorType),
    ([[.other(0x01, 8192)]], .invalidSGLDescriptorType),
    ([[.data(arena, 4096), .other(0x40)]], .invalidSGLDescriptorType),
    // Too short.
    ([[.data(arena, 8191)]], .invalidDataSGLLength),
    ([[.data(arena, 0)]], .invalidDataSGLLength),
    ([[.data(arena, 4096), .data(arena, 4095)]], .invalidDataSGLLength),
    // Segments of no whole number of descriptors, or of none.
    ([[.other(0x30, 24)]], .invalidSGLSegmentDescriptor),
    ([[.other(0x20, 0)]], .invalidSGLSegmentDescriptor),
    // A way on from the last segment, or from the middle of one.
    ([[.data(arena, 4096), .other(0x30, 16)]], .invalidSGLSegmentDescriptor),
    (
      [[.other(0x20, 16), .data(arena, 8192)], [.data(arena, 8192)]], .invalidSGLSegmentDescriptor
    ),
    // Nothing there.
    ([[.nowhere(0x00, 8192)]], .dataTransferError),
    ([[.data(arena, 4096), .nowhere(0x00, 4096)]], .dataTransferError),
    ([[.nowhere(0x30, 32)]], .dataTransferError),
    ([[.nowhere(0x20, 1 << 20)]], .invalidSGLDescriptorCount),
    (
      [[SGLDescriptor(type: 0x30, place: 0, byteCount: 8192, address: 0xffff_ffff_ffff_f000)]],
      .dataTransferError
    ),
    (
      [[SGLDescriptor(type: 0x00, place: 0, byteCount: 8192, address: 0xffff_ffff_ffff_f800)]],
      .dataTransferError
    ),
  ]

  @Test(
    "E17: SGLs that cannot be are refused, nothing is moved, and the device goes on",
    arguments: faults.indices, [true, false])
  func refused(index: Int, isMapped: Bool) throws {
    let (rig, storage) = try makeRig(isMapped)
    let fault = Self.faults[index]
    let head = try write(fault.lists, rig)
    for opcode in [IOOpcode.write, .read, .compare] {
      #expect(try rig.status(command(opcode, 16, head, rig)) == fault.status)
      #expect(try rig.lastError.parameterLocation == 24)
    }
    #expect(storage.requests.isEmpty)
    #expect(try rig.status(.read) == .success)
  }

  @Test("E17: a segment that is not the last has to lead on")
  func endless() throws {
    let (rig, _) = try makeRig()
    try rig.write(words: [rig.address(Self.arena), 8192], Self.segments)
    let open = SGLDescriptor.segment(Self.segments, 1, isLast: false)
    #expect(try rig.status(command(.write, 16, open, rig)) == .invalidSGLSegmentDescriptor)
    // One that leads to itself ends as well.
    try rig.write(words: [open.words(rig).0, open.words(rig).1], Self.segments)
    #expect(try rig.status(command(.write, 16, open, rig)) == .invalidSGLDescriptorCount)
  }

  @Test("E17: a data pointer that is neither PRPs nor an SGL is an invalid field")
  func reservedKind() throws {
    let (rig, _) = try makeRig()
    #expect(
      try rig.status(command(.write, 1, .data(Self.arena, 512), rig, kind: 3)) == .invalidField)
  }
}
