import NVMe
import NVMeDriver
import VFIOUser

/// Memory for one command in flight: data, and lists that lead to it.
struct ModelSlot {
  static let dataByteCount = 65_536
  private static let margin = 64

  /// Data starts anywhere in its first page, and something is left behind it.
  let memory: NVMeBuffer
  /// Two pages for PRP lists and SGL segments.
  let lists: NVMeBuffer

  init(_ controller: NVMeController) throws {
    memory = try controller.makeBuffer(byteCount: Self.dataByteCount + 8192)
    lists = try controller.makeBuffer(byteCount: 8192)
  }

  /// A part of the memory with a mark before it and behind it.
  func part(_ byteCount: Int, _ random: inout SeededRandom) throws -> NVMeBuffer {
    let isAligned = Bool.random(using: &random)
    let start = Self.margin + (isAligned ? 4032 : Int.random(in: 0..<1000, using: &random) * 4)
    let mark = [UInt8](repeating: 0xa5, count: Self.margin)
    try memory.write(mark, at: start - Self.margin)
    try memory.write(mark, at: start + byteCount)
    return try memory.part(at: start, byteCount: byteCount)
  }

  /// Whether the marks around a part are still there.
  func isIntact(around part: NVMeBuffer) throws -> Bool {
    let start = Int(part.address.rawValue - memory.address.rawValue)
    let mark = [UInt8](repeating: 0xa5, count: Self.margin)
    return try memory.read(at: start - Self.margin, byteCount: Self.margin) == mark
      && memory.read(at: start + part.byteCount, byteCount: Self.margin) == mark
  }

  // MARK: Data pointers

  /// Lets `entry` point to `data` in one of the ways that the specification has.
  ///
  /// - Returns: what the driver is to do about it.
  func point(
    _ entry: inout SubmissionQueueEntry, to data: NVMeBuffer, _ random: inout SeededRandom
  ) throws -> ModelCommand.Pointer {
    switch Int.random(in: 0..<8, using: &random) {
    case 0:
      // One SGL data block in the command.
      entry.dataPointerKind = 1
      setDescriptor(&entry, data.address.rawValue, data.byteCount, type: 0)
      return .raw
    case 1:
      entry.dataPointerKind = 1
      let (first, second) = (
        Int.random(in: 1...5, using: &random), Int.random(in: 1...5, using: &random)
      )
      try makeSegments(&entry, data, first, second, &random)
      return .raw
    case 2 where data.byteCount > 3 * 4096:
      return try makeChainedList(&entry, data)
    default: return .pages
    }
  }

  private func setDescriptor(
    _ entry: inout SubmissionQueueEntry, _ address: UInt64, _ byteCount: Int, type: UInt64
  ) {
    entry.prp1 = address
    entry.prp2 = UInt64(byteCount) | type << 60
  }

  /// A segment of `first` data blocks that leads to a last one of `second`.
  private func makeSegments(
    _ entry: inout SubmissionQueueEntry, _ data: NVMeBuffer, _ first: Int, _ second: Int,
    _ random: inout SeededRandom
  ) throws {
    var cuts = (1..<(first + second)).map { _ in Int.random(in: 0...data.byteCount, using: &random)
    }
    cuts = [0] + cuts.sorted() + [data.byteCount]
    var blocks: [UInt64] = []
    for index in 0..<(first + second) {
      blocks += [
        data.address.rawValue + UInt64(cuts[index]), UInt64(cuts[index + 1] - cuts[index]),
      ]
    }
    let base = lists.address.rawValue
    let link = [base + 4096, UInt64(second * 16) | 3 << 60]
    try store(Array(blocks[..<(first * 2)]) + link, at: 0)
    try store(Array(blocks[(first * 2)...]), at: 4096)
    setDescriptor(&entry, base, (first + 1) * 16, type: 2)
  }

  /// A PRP list that starts near the end of a page, and goes on in the next.
  private func makeChainedList(
    _ entry: inout SubmissionQueueEntry, _ data: NVMeBuffer
  ) throws -> ModelCommand.Pointer {
    let start = data.address.rawValue
    let second = (start / 4096 + 1) * 4096
    let pages = stride(from: second, to: start + UInt64(data.byteCount), by: 4096).map { $0 }
    entry.prp1 = start
    entry.prp2 = lists.address.rawValue + 4096 - 16
    try store([pages[0], lists.address.rawValue + 4096], at: 4096 - 16)
    try store(Array(pages[1...]), at: 4096)
    return .raw
  }

  func store(_ words: [UInt64], at offset: Int) throws {
    try lists.write(
      words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } },
      at: offset)
  }
}
