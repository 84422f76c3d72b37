import NVMe
import NVMeDriver
import VFIOUser

/// Makes up commands that do not get into each other's way.
struct ModelGenerator {
  var random: SeededRandom
  /// Numbers for sectors that are written, each used once.
  private var nextContent: UInt64 = 1
  /// The sectors of each namespace that commands of this round read, and change.
  private var read: [[Range<Int>]] = []
  private var changed: [[Range<Int>]] = []

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func beginRound(_ count: Int) {
    read = Array(repeating: [], count: count)
    changed = read
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
  mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

  mutating func contents(_ count: Int) -> [UInt64] {
    defer { nextContent += UInt64(count) }
    return (0..<count).map { nextContent + UInt64($0) }
  }

  // MARK: Places

  /// Blocks that no other command of the round changes, nor reads if they are to be changed.
  mutating func place(
    _ model: ModelNamespace, _ index: Int, isChange: Bool, limit: Int
  ) -> Range<Int>? {
    for _ in 0..<6 {
      let longest = min(limit, model.blockCount)
      let count = chance(80) ? number(1...min(8, longest)) : number(1...longest)
      var first = number(0...(model.blockCount - count))
      if chance(5) { first = model.blockCount - count }
      let sectors = model.sectors(first..<(first + count))
      guard isFree(sectors, index, isChange: isChange) else { continue }
      if isChange { changed[index].append(sectors) } else { read[index].append(sectors) }
      return first..<(first + count)
    }
    return nil
  }

  private func isFree(_ sectors: Range<Int>, _ index: Int, isChange: Bool) -> Bool {
    !changed[index].contains { $0.overlaps(sectors) }
      && !(isChange && read[index].contains { $0.overlaps(sectors) })
  }

  /// Takes sectors for a command that reads them; whether none of the round changes them.
  mutating func isUntouched(_ sectors: Range<Int>, _ index: Int) -> Bool {
    guard isFree(sectors, index, isChange: false) else { return false }
    read[index].append(sectors)
    return true
  }

  // MARK: Commands

  /// A command; nil when there was no room for what was chosen.
  mutating func command(
    _ models: [ModelNamespace], _ candidates: [Int], _ slot: ModelSlot
  ) throws -> ModelCommand? {
    let index = candidates[number(0...(candidates.count - 1))]
    let model = models[index]
    return switch number(0...99) {
    case 0..<24: try read(model, index, slot)
    case 24..<52: try write(model, index, slot)
    case 52..<60: zeroes(model, index)
    case 60..<68: try compare(model, index, slot)
    case 68..<71: plain(.writeUncorrectable, model, index)
    case 71..<75: plain(.verify, model, index)
    case 75..<81: try deallocate(model, index, slot)
    case 81..<88: try copy(model, index, slot)
    case 88..<91: flush(model, index)
    default: try invalidCommand(model, index, slot)
    }
  }

  func entry(
    _ opcode: IOOpcode, _ model: ModelNamespace, _ blocks: Range<Int>
  ) -> SubmissionQueueEntry {
    var entry = SubmissionQueueEntry()
    entry.opcode = opcode.rawValue
    entry.namespaceIdentifier = model.identifier
    entry.startingBlock = UInt64(blocks.lowerBound)
    entry.blockCount = blocks.count
    return entry
  }

  private func transferLimit(_ model: ModelNamespace) -> Int {
    ModelSlot.dataByteCount / model.blockByteCount
  }

  private mutating func read(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand? {
    guard let blocks = place(model, index, isChange: false, limit: transferLimit(model)) else {
      return nil
    }
    var command = ModelCommand(entry: entry(.read, model, blocks), target: index)
    let data = try slot.part(blocks.count * model.blockByteCount, &random)
    command.data = data
    command.pointer = try slot.point(&command.entry, to: data, &random)
    command.sources = [model.sectors(blocks)]
    command.returnsData = true
    return command
  }

  private mutating func write(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand? {
    guard let blocks = place(model, index, isChange: true, limit: transferLimit(model)) else {
      return nil
    }
    var command = ModelCommand(entry: entry(.write, model, blocks), target: index)
    command.entry.forcesUnitAccess = chance(20)
    let sectors = model.sectors(blocks)
    let new = contents(sectors.count)
    let data = try slot.part(blocks.count * model.blockByteCount, &random)
    try data.write(ModelNamespace.bytes(new))
    command.data = data
    command.pointer = try slot.point(&command.entry, to: data, &random)
    command.effect = .write(sectors, new)
    return command
  }

  private mutating func zeroes(_ model: ModelNamespace, _ index: Int) -> ModelCommand? {
    guard let blocks = place(model, index, isChange: true, limit: 1000) else { return nil }
    var command = ModelCommand(entry: entry(.writeZeroes, model, blocks), target: index)
    command.entry.forcesUnitAccess = chance(20)
    // Deallocate.
    if chance(50) { command.entry.dword12 |= 1 << 25 }
    let sectors = model.sectors(blocks)
    command.effect = .write(sectors, [UInt64](repeating: 0, count: sectors.count))
    return command
  }

  private mutating func compare(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand? {
    guard let blocks = place(model, index, isChange: false, limit: transferLimit(model)),
      let known = model.known(model.sectors(blocks))
    else { return nil }
    var command = ModelCommand(entry: entry(.compare, model, blocks), target: index)
    let data = try slot.part(blocks.count * model.blockByteCount, &random)
    var bytes = ModelNamespace.bytes(known)
    if chance(40) {
      bytes[number(0...(bytes.count - 1))] ^= 1 << UInt8(number(0...7))
      command.status = .compareFailure
    }
    try data.write(bytes)
    command.data = data
    command.pointer = try slot.point(&command.entry, to: data, &random)
    command.sources = [model.sectors(blocks)]
    return command
  }

  /// A command without data that reads, or makes unreadable.
  private mutating func plain(
    _ opcode: IOOpcode, _ model: ModelNamespace, _ index: Int
  ) -> ModelCommand? {
    let isChange = opcode == .writeUncorrectable
    let limit = isChange ? 8 : 1000
    guard let blocks = place(model, index, isChange: isChange, limit: limit) else { return nil }
    var command = ModelCommand(entry: entry(opcode, model, blocks), target: index)
    if isChange {
      command.effect = .makeUnreadable(model.sectors(blocks))
    } else {
      command.sources = [model.sectors(blocks)]
    }
    return command
  }

  private mutating func flush(_ model: ModelNamespace, _ index: Int) -> ModelCommand {
    var command = ModelCommand(entry: entry(.flush, model, 0..<1), target: index)
    if chance(20) { command.entry.namespaceIdentifier = .max }
    return command
  }

  /// Dataset Management of some ranges, which are one range of the model.
  private mutating func deallocate(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand? {
    guard model.deallocates, let blocks = place(model, index, isChange: true, limit: 1000) else {
      return nil
    }
    var command = ModelCommand(entry: entry(.datasetManagement, model, 0..<1), target: index)
    var cuts = (1..<number(1...6)).map { _ in number(blocks.lowerBound...blocks.upperBound) }
    cuts = ([blocks.lowerBound] + cuts.sorted() + [blocks.upperBound])
    var ranges = (1..<cuts.count).map { cuts[$0 - 1]..<cuts[$0] }
    ranges.shuffle(using: &random)
    let data = try slot.part(ranges.count * 16, &random)
    try slot.writeRanges(ranges, data)
    command.entry.dword10 = UInt32(ranges.count - 1)
    command.entry.dword11 = chance(90) ? 4 : 3
    command.entry.dword12 = 0
    command.data = data
    command.pointer = .pages
    let sectors = model.sectors(blocks)
    if command.entry.dword11 == 4 {
      command.effect = .write(sectors, [UInt64](repeating: 0, count: sectors.count))
    }
    return command
  }

  private mutating func copy(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand? {
    var sources: [Range<Int>] = []
    for _ in 0..<number(1...5) {
      if let blocks = place(model, index, isChange: false, limit: 40) { sources.append(blocks) }
    }
    let count = sources.reduce(0) { $0 + $1.count }
    guard count > 0, count <= model.blockCount else { return nil }
    let first = number(0...(model.blockCount - count))
    let target = model.sectors(first..<(first + count))
    guard isFree(target, index, isChange: true) else { return nil }
    var new: [UInt64] = []
    for source in sources {
      guard let known = model.known(model.sectors(source)) else { return nil }
      new += known
    }
    changed[index].append(target)
    var command = ModelCommand(
      entry: entry(.copy, model, first..<(first + 1)), target: index)
    command.entry.dword12 = UInt32(sources.count - 1)
    let data = try slot.part(sources.count * 32, &random)
    try slot.writeSources(sources, data)
    command.data = data
    command.pointer = .pages
    command.sources = sources.map { model.sectors($0) }
    command.effect = .write(target, new)
    command.copies = true
    return command
  }
}

extension ModelSlot {
  /// Ranges of Dataset Management.
  func writeRanges(_ ranges: [Range<Int>], _ data: NVMeBuffer) throws {
    try write(ranges.flatMap { [UInt64($0.count) << 32, UInt64($0.lowerBound)] }, data)
  }

  /// Source ranges of Copy, descriptor format 0.
  func writeSources(_ sources: [Range<Int>], _ data: NVMeBuffer) throws {
    try write(sources.flatMap { [0, UInt64($0.lowerBound), UInt64($0.count - 1), 0] }, data)
  }

  private func write(_ words: [UInt64], _ data: NVMeBuffer) throws {
    try data.write(
      words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } })
  }
}
