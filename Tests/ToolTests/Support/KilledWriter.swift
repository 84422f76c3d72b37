import NVMe
import NVMeDriver

/// Writes numbered blocks until the device goes away, and knows which of them must be there.
///
/// A block of 512 bytes holds its place, a number that grows with each write, and a checksum.
struct KilledWriter {
  /// The size of the disk.
  static let blockCount = 8192
  /// Commands write parts of extents; an extent has one command in flight at a time.
  private static let extentBlockCount = 32
  private static let extentCount = blockCount / extentBlockCount
  private static let depth = 24

  private enum Command {
    case write(blocks: Range<Int>, number: UInt64, isDurable: Bool)
    /// What had been written when it was submitted, by block.
    case flush([(block: Int, number: UInt64)])
  }

  /// What is wrong with the disk, if anything.
  private(set) var problem: String?
  /// How many blocks there were promises for.
  private(set) var durableCount = 0
  private var generator: SeededNumbers
  private var nextNumber: UInt64 = 1
  /// The number that each block has at least.
  private var durable = [UInt64](repeating: 0, count: blockCount)
  /// Numbers that each block may have instead, ascending.
  private var issued = [[UInt64]](repeating: [], count: blockCount)
  /// Writes that have ended, and were not flushed since.
  private var ended: [Int: UInt64] = [:]

  init(seed: UInt64) { generator = SeededNumbers(state: seed) }

  mutating func random(_ range: ClosedRange<Int>) -> Int {
    Int.random(in: range, using: &generator)
  }

  // MARK: Writing

  /// Writes until the driver throws, which is when the device is gone.
  mutating func write(_ controller: NVMeController, _ disk: NVMeNamespaceInfo) throws {
    let pairs = try (0..<3).map { _ in try controller.makeQueuePair(entryCount: Self.depth + 1) }
    let buffers = try (0..<(Self.depth * pairs.count)).map { _ in
      try controller.makeBuffer(byteCount: Self.extentBlockCount * 512)
    }
    var open: [Int: Command] = [:]
    var busy = Set<Int>()
    var completions: [NVMeCompletion] = []
    while true {
      for (index, pair) in pairs.enumerated() {
        for tag in (index * Self.depth)..<((index + 1) * Self.depth) where open[tag] == nil {
          open[tag] = try submit(disk, pair, tag, buffers[tag], &busy)
        }
      }
      completions.removeAll()
      do {
        for pair in pairs { try pair.ring() }
        for pair in pairs { try pair.reap(into: &completions) }
        if completions.isEmpty { try pairs[0].reap(into: &completions, timeout: .seconds(60)) }
      } catch {
        // What the device told of before it went holds.
        for pair in pairs { _ = try? pair.reap(into: &completions) }
        try settle(completions, &open, &busy)
        throw error
      }
      try settle(completions, &open, &busy)
    }
  }

  private mutating func submit(
    _ disk: NVMeNamespaceInfo, _ pair: NVMeQueuePair, _ tag: Int, _ buffer: NVMeBuffer,
    _ busy: inout Set<Int>
  ) throws -> Command? {
    if random(0...19) == 0 {
      try pair.submit(disk.command(.flush), tag: tag)
      return .flush(ended.map { ($0.key, $0.value) })
    }
    let extent = random(0...(Self.extentCount - 1))
    guard busy.insert(extent).inserted else { return nil }
    let first = random(0...(Self.extentBlockCount - 1))
    let count = random(1...(Self.extentBlockCount - first))
    let start = extent * Self.extentBlockCount + first
    let number = nextNumber
    nextNumber += 1
    let blocks = start..<(start + count)
    var entry = disk.command(.write)
    entry.startingBlock = UInt64(start)
    entry.blockCount = count
    entry.forcesUnitAccess = random(0...3) == 0
    let data = try buffer.part(at: 0, byteCount: count * 512)
    try data.write(Self.bytes(blocks, number))
    try pair.submit(entry, data: data, tag: tag)
    for block in blocks {
      issued[block].append(number)
      ended[block] = nil
    }
    return .write(blocks: blocks, number: number, isDurable: entry.forcesUnitAccess)
  }

  private mutating func settle(
    _ completions: [NVMeCompletion], _ open: inout [Int: Command], _ busy: inout Set<Int>
  ) throws {
    for completion in completions {
      guard completion.status.isSuccess, let command = open.removeValue(forKey: completion.tag)
      else {
        problem = "a command ended with \(completion.status)"
        return
      }
      switch command {
      case .flush(let promised): for item in promised { promise(item.block, item.number) }
      case .write(let blocks, let number, let isDurable):
        busy.remove(blocks.lowerBound / Self.extentBlockCount)
        for block in blocks {
          if isDurable { promise(block, number) } else { ended[block] = number }
        }
      }
    }
  }

  /// From now on the block holds this number or a later one.
  private mutating func promise(_ block: Int, _ number: UInt64) {
    guard number > durable[block] else { return }
    durable[block] = number
    durableCount += 1
    issued[block].removeAll { $0 <= number }
    if ended[block] == number { ended[block] = nil }
  }

  // MARK: Checking

  /// Looks at the whole disk; what is there now stays there.
  mutating func check(_ bytes: [UInt8]) throws {
    for block in 0..<Self.blockCount {
      let number = Self.number(bytes, block)
      guard let number, number == durable[block] || issued[block].contains(number) else {
        let found = number.map { "number \($0)" } ?? "no block of ours"
        problem =
          "block \(block) holds \(found), but \(durable[block]) was promised;"
          + " since then \(issued[block]) were written"
        return
      }
      durable[block] = number
      issued[block] = []
    }
    ended = [:]
  }

  private static func mix(_ word: UInt64) -> UInt64 {
    var word = word &* 0xbf58_476d_1ce4_e5b9
    word ^= word >> 29
    return word &* 0x94d0_49bb_1331_11eb
  }

  private static func word(_ block: Int, _ number: UInt64, _ index: Int) -> UInt64 {
    index == 0 ? number : mix(number &* 65_537 &+ UInt64(block * 64 + index))
  }

  private static func bytes(_ blocks: Range<Int>, _ number: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: blocks.count * 512)
    bytes.withUnsafeMutableBytes { buffer in
      for (place, block) in blocks.enumerated() {
        for index in 0..<64 {
          buffer.storeBytes(
            of: word(block, number, index), toByteOffset: place * 512 + index * 8,
            as: UInt64.self)
        }
      }
    }
    return bytes
  }

  /// The number of a block; 0 where nothing was written yet, nil where it is damaged.
  private static func number(_ bytes: [UInt8], _ block: Int) -> UInt64? {
    bytes.withUnsafeBytes { buffer in
      func load(_ index: Int) -> UInt64 {
        buffer.loadUnaligned(fromByteOffset: block * 512 + index * 8, as: UInt64.self)
      }
      let number = load(0)
      for index in 1..<64 {
        guard load(index) == (number == 0 ? 0 : word(block, number, index)) else { return nil }
      }
      return number
    }
  }

  /// SplitMix64.
  private struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var word = state
      word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
      word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
      return word ^ word >> 31
    }
  }
}
