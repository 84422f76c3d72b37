import NVMe
import NVMeDriver
import VFIOUser

// Commands that are wrong in exactly one way, and change nothing.

extension ModelGenerator {
  mutating func invalidCommand(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand? {
    switch number(0...11) {
    case 0, 1: return try outOfRange(model, index, slot)
    case 2: return try misaddressed(model, index, slot)
    case 3:
      var command = try base(.read, model, index, slot)
      command.entry.opcode = [0x03, 0x0d, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 3
      command.status = .invalidOpcode
      return command
    case 4, 5, 6: return try badPointer(model, index, slot)
    case 7:
      // PRINFO, without metadata.
      let opcode: IOOpcode =
        [.read, .write, .compare, .writeZeroes, .verify]
        .randomElement(using: &random) ?? .read
      var command = try base(opcode, model, index, slot)
      command.entry.dword12 |= 1 << UInt32(number(26...29))
      command.status = .invalidField
      return command
    case 8:
      // Fused, or a reserved way to say where data is.
      var command = try base(.write, model, index, slot)
      if chance(50) {
        command.entry.words[0] |= UInt64(number(1...3)) << 8
      } else {
        command.entry.dataPointerKind = 3
      }
      command.status = .invalidField
      return command
    case 9:
      // More than MDTS allows.
      let opcode: IOOpcode = [.read, .write, .compare].randomElement(using: &random) ?? .read
      var command = try base(opcode, model, index, slot)
      command.entry.startingBlock = 0
      command.entry.blockCount = ModelSlot.dataByteCount / model.blockByteCount + number(1...9)
      command.status = .invalidField
      return command
    default: return try badCopy(model, index, slot)
    }
  }

  /// A read or a write of the first block, without an effect yet.
  private mutating func base(
    _ opcode: IOOpcode, _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand {
    var command = ModelCommand(entry: entry(opcode, model, 0..<1), target: index)
    guard [.read, .write, .compare].contains(opcode) else { return command }
    command.data = try slot.part(model.blockByteCount, &random)
    command.pointer = .pages
    return command
  }

  private mutating func outOfRange(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand {
    let end = UInt64(model.blockCount)
    let (first, count): (UInt64, Int) =
      switch number(0...4) {
      case 0: (end, 1)
      case 1: (end - 1, 2)
      case 2: (.max, 1)
      case 3: (.max - 1, 8)
      default: (end + UInt64(number(0...1000)), number(1...8))
      }
    let opcode: IOOpcode =
      [.read, .write, .compare, .writeZeroes, .verify, .writeUncorrectable, .datasetManagement]
      .randomElement(using: &random) ?? .read
    var command = try base(opcode, model, index, slot)
    command.status = .blockOutOfRange
    guard opcode == .datasetManagement else {
      command.entry.startingBlock = first
      command.entry.blockCount = count
      return command
    }
    // A good range comes first: nothing becomes of it either.
    let data = try slot.part(32, &random)
    try data.write([UInt8](repeating: 0, count: 32))
    var bytes: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
    bytes += [0, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> ($0 * 8)) }
    bytes += (0..<8).map { UInt8(truncatingIfNeeded: first >> UInt64($0 * 8)) }
    try data.write(bytes)
    command.entry.dword10 = 1
    command.entry.dword11 = 4
    command.data = data
    command.pointer = .pages
    return command
  }

  /// A namespace that does not exist, or all of them where one is meant.
  private mutating func misaddressed(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand {
    let opcode: IOOpcode =
      [.read, .write, .flush, .compare, .writeZeroes, .verify, .writeUncorrectable]
      .randomElement(using: &random) ?? .read
    var command = try base(opcode, model, index, slot)
    let wrong: [UInt32] = opcode == .flush ? [0, 9] : [0, 9, .max, .max - 1]
    command.entry.namespaceIdentifier = wrong.randomElement(using: &random) ?? 9
    command.status = .invalidNamespaceOrFormat
    return command
  }

  /// Data that is not where the command says, or cannot be there.
  private mutating func badPointer(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand? {
    // Blocks that are readable, so that the pointer alone is wrong.
    let count = 16_384 / model.blockByteCount
    let blocks = number(0...(model.blockCount - count))
    let isWrite = chance(50)
    guard isWrite || model.readability(model.sectors(blocks..<(blocks + count))) == .readable else {
      return nil
    }
    // Nor may another command of the round make them unreadable.
    guard isWrite || isUntouched(model.sectors(blocks..<(blocks + count)), index) else {
      return nil
    }
    var command = ModelCommand(
      entry: entry(isWrite ? .write : .read, model, blocks..<(blocks + count)), target: index)
    command.pointer = .raw
    let page = (slot.memory.address.rawValue + 4095) / 4096 * 4096
    let nowhere: UInt64 = 0x6000_0000_0000
    let lists = slot.lists.address.rawValue
    command.entry.prp1 = page
    command.entry.prp2 = lists
    try slot.store([page + 4096, page + 8192, page + 12_288], at: 0)
    switch number(0...9) {
    case 0:
      command.entry.prp1 = page + UInt64(number(1...3))
      command.status = .invalidPRPOffset
    case 1:
      command.entry.prp2 = lists + UInt64(number(1...7))
      command.status = .invalidPRPOffset
    case 2:
      try slot.store([page + UInt64(number(1...4095))], at: number(0...2) * 8)
      command.status = .invalidPRPOffset
    case 3:
      command.entry.prp1 = nowhere
      command.status = .dataTransferError
    case 4:
      command.entry.prp2 = nowhere
      command.status = .dataTransferError
    case 5:
      try slot.store([nowhere], at: number(0...2) * 8)
      command.status = .dataTransferError
    case 6:
      // Too short an SGL.
      command.entry.dataPointerKind = 1
      command.entry.prp2 = UInt64(number(1...16_383))
      command.status = .invalidDataSGLLength
    case 7:
      command.entry.dataPointerKind = 1
      command.entry.prp2 = 16_384 | 0x7 << 60
      command.status = .invalidSGLDescriptorType
    case 8:
      // A segment of no whole descriptor.
      command.entry.dataPointerKind = 1
      command.entry.prp2 = UInt64(number(1...15)) | 3 << 60
      command.status = .invalidSGLSegmentDescriptor
    default:
      command.entry.dataPointerKind = 1
      command.entry.prp1 = nowhere
      command.entry.prp2 = 16_384
      command.status = .dataTransferError
    }
    return command
  }

  private mutating func badCopy(
    _ model: ModelNamespace, _ index: Int, _ slot: ModelSlot
  ) throws -> ModelCommand {
    var command = ModelCommand(entry: entry(.copy, model, 0..<1), target: index)
    var sources = [8..<12, 20..<24]
    switch number(0...4) {
    case 0:
      sources[1] = (model.blockCount - 1)..<(model.blockCount + 1)
      command.status = .blockOutOfRange
    case 1:
      command.entry.startingBlock = UInt64(model.blockCount - 3)
      command.status = .blockOutOfRange
    case 2:
      // Over its own source.
      command.entry.startingBlock = 5
      command.status = .invalidField
    case 3:
      sources[0] = 0..<4097
      command.status = .commandSizeLimitExceeded
    default:
      // A descriptor format that does not exist.
      command.entry.dword12 = 3 << 8
      command.status = .invalidField
    }
    command.entry.dword12 = command.entry.dword12 & 0xf00 | 1
    let data = try slot.part(64, &random)
    try slot.writeSources(sources, data)
    command.data = data
    command.pointer = .pages
    return command
  }
}
