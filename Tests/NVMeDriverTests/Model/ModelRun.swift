import Foundation
import NVMe
import VFIOUser

@testable import NVMeDriver

/// A device and its model, given the same commands, resets and disconnects.
final class ModelRun {
  /// What happens in the middle of a round, or after it.
  private enum Event: CaseIterable {
    case reset, subsystemReset, shutDown, disconnect, deviceReset, format, formatAll, newPair
    case coalescing, readAll
  }

  let configuration: ModelConfiguration
  private(set) var round = 0
  private(set) var commandCount = 0
  private var generator: ModelGenerator
  private var models: [ModelNamespace]
  private let disk: ServedDisk
  private let files: [String?]
  private var controller: NVMeController
  private var pairs: [NVMeQueuePair] = []
  private var slots: [ModelSlot] = []
  /// Commands in flight by their slots.
  private var open: [Int: ModelCommand] = [:]

  init(_ configuration: ModelConfiguration, seed: UInt64) throws {
    self.configuration = configuration
    generator = ModelGenerator(seed: seed)
    models = ModelConfiguration.byteCounts.enumerated().map {
      ModelNamespace(identifier: UInt32($0 + 1), byteCount: $1)
    }
    var settings = ServedDisk.Settings()
    settings.polling = configuration.polling
    settings.onDisconnect = generator.chance(50) ? .keep : .reset
    settings.knobs = ["mdts=4", "queues=4", "queue-threads=\(configuration.threads)"]
    settings.namespaces = []
    var files: [String?] = []
    for (storage, model) in zip(configuration.storages, models) {
      let path = "/tmp/vfio-user-model-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      settings.namespaces.append(storage.specification(model.byteCount, path: path))
      guard case .file = storage else {
        files.append(nil)
        continue
      }
      guard FileManager.default.createFile(atPath: path, contents: nil),
        truncate(path, model.byteCount) == 0
      else { throw ModelMismatch(description: "cannot make \(path)") }
      files.append(path)
    }
    self.files = files
    disk = try ServedDisk(settings)
    controller = try Self.attach(disk, configuration, &generator)
    try prepare()
  }

  deinit {
    controller.close()
    for case let path? in files { unlink(path) }
  }

  private static func attach(
    _ disk: ServedDisk, _ configuration: ModelConfiguration, _ generator: inout ModelGenerator
  ) throws -> NVMeController {
    let doorbells = configuration.doorbells.randomElement(using: &generator.random) ?? .auto
    return try disk.attach(doorbells, sharesMemory: configuration.sharesMemory)
  }

  /// Checks what the controller says of itself after a start, and makes queues and memory.
  private func prepare() throws {
    for index in models.indices {
      let info = try controller.namespace(models[index].identifier)
      guard info.blockByteCount == models[index].blockByteCount,
        info.blockCount == UInt64(models[index].blockCount)
      else {
        throw ModelMismatch(
          description: "namespace \(index + 1) has \(info.blockCount) blocks of "
            + "\(info.blockByteCount) bytes, not \(models[index].blockCount) of "
            + "\(models[index].blockByteCount)")
      }
      models[index].deallocates = info.data.deallocateFeatures & 7 == 1
    }
    pairs = []
    for _ in 0..<generator.number(1...4) { try makePair() }
    if slots.isEmpty { slots = try (0..<48).map { _ in try ModelSlot(controller) } }
  }

  private func makePair() throws {
    let count = [2, 3, 5, 16, 64].randomElement(using: &generator.random) ?? 2
    pairs.append(
      try controller.makeQueuePair(
        entryCount: count, usesInterrupt: generator.chance(configuration.sharesMemory ? 30 : 0)))
  }

  // MARK: Rounds

  /// Commands, and sometimes something else, and whether all of it agrees.
  func runRound() throws {
    round += 1
    let event = generator.chance(30) ? Event.allCases.randomElement(using: &generator.random) : nil
    let isEarly = generator.chance(60)
    var candidates = Array(models.indices)
    let formatted = generator.number(0...(models.count - 1))
    if event == .format { candidates.removeAll { $0 == formatted } }
    if event == .formatAll { candidates = [] }
    try makeCommands(candidates)
    if let event, isEarly {
      // Some have ended by then.
      try work(until: generator.number(0...open.count))
      try happen(event, formatted)
      try work(until: 0)
    } else {
      try work(until: 0)
      if let event { try happen(event, formatted) }
    }
  }

  /// The commands of a round that wait to be submitted, by their slots and pairs.
  private var waiting: [(slot: Int, pair: Int)] = []

  private func makeCommands(_ candidates: [Int]) throws {
    generator.beginRound(models.count)
    waiting = []
    guard !candidates.isEmpty else { return }
    for slot in 0..<generator.number(1...slots.count) {
      guard let command = try generator.command(models, candidates, slots[slot]) else { continue }
      open[slot] = command
      waiting.append((slot, generator.number(0...(pairs.count - 1))))
    }
    commandCount += open.count
  }

  /// Submits what waits, and reaps until no more than so many commands are open.
  private func work(until limit: Int) throws {
    var ended: [NVMeCompletion] = []
    while open.count > limit {
      try submitWaiting()
      ended.removeAll()
      for pair in pairs { try pair.reap(into: &ended) }
      if ended.isEmpty, let busy = pairs.first(where: { $0.inFlightCount > 0 }) {
        try wait(for: busy, &ended)
      }
      for completion in ended { try settle(completion) }
    }
    guard limit > 0 else {
      for pair in pairs where try pair.reap(into: &ended) > 0 || pair.inFlightCount > 0 {
        throw ModelMismatch(description: "queue \(pair.identifier) has completions left over")
      }
      return
    }
    // All are on their way when something happens.
    try submitWaiting()
  }

  /// Waits for a command of a pair to end, by its interrupt if it has one.
  private func wait(for pair: NVMeQueuePair, _ ended: inout [NVMeCompletion]) throws {
    if let interrupt = pair.interrupt {
      if interrupt.wait(timeout: .seconds(60)) != nil { return }
      guard try pair.reap(into: &ended) == 0 else {
        throw ModelMismatch(
          description: "queue \(pair.identifier) ended commands without an interrupt")
      }
    } else if try pair.reap(into: &ended, timeout: .seconds(60)) > 0 {
      return
    }
    throw ModelMismatch(
      description: "commands of queue \(pair.identifier) do not end: \(describeOpen())")
  }

  private func submitWaiting() throws {
    waiting = try waiting.filter { item in
      let pair = pairs[item.pair]
      guard !pair.isFull, let command = open[item.slot] else { return open[item.slot] != nil }
      if command.pointer == .pages, let data = command.data {
        try pair.submit(command.entry, data: data, tag: item.slot)
      } else {
        try pair.submit(command.entry, tag: item.slot)
      }
      if item.slot % 3 == 0 { try pair.ring() }
      return false
    }
    for pair in pairs { try pair.ring() }
  }

  private func settle(_ completion: NVMeCompletion) throws {
    guard let command = open.removeValue(forKey: completion.tag) else {
      throw ModelMismatch(description: "a command has ended twice")
    }
    try command.settle(completion, in: &models[command.target])
    if command.returnsData, let data = command.data,
      try !slots[completion.tag].isIntact(around: data)
    {
      throw ModelMismatch(description: "\(command.text) wrote beside its memory")
    }
  }

  private func describeOpen() -> String {
    open.sorted { $0.key < $1.key }.map(\.value.text).joined(separator: "; ")
  }

  // MARK: Events

  private func happen(_ event: Event, _ formatted: Int) throws {
    switch event {
    case .reset: try loseAll { try controller.reset() }
    case .subsystemReset:
      try loseAll {
        try controller.writeRegister(0x4e56_4d65, ControllerRegisterOffset.subsystemReset)
        try controller.reset()
      }
    case .shutDown:
      try loseAll {
        try controller.shutDown()
        try controller.reset()
      }
    case .disconnect: try loseAll { try reconnect() }
    case .deviceReset:
      try loseAll {
        try controller.client.reset()
        try reconnect()
      }
    case .format, .formatAll:
      let format = generator.number(0...1)
      let all = event == .formatAll
      try controller.format(all ? .max : models[formatted].identifier, format: format)
      for index in models.indices where all || index == formatted {
        models[index].format(format == 0 ? 512 : 4096)
      }
    case .newPair:
      // Of a pair that has nothing in flight: what ends with the pair is not told.
      guard let index = pairs.indices.first(where: { pairs[$0].inFlightCount == 0 }),
        !waiting.contains(where: { $0.pair == index })
      else { return }
      try controller.delete(pairs[index])
      try makePair()
      pairs.swapAt(index, pairs.count - 1)
      pairs.removeLast()
    case .coalescing:
      try controller.setFeature(
        .interruptCoalescing, UInt32(generator.number(0...5) | generator.number(0...3) << 8))
    case .readAll where open.isEmpty: try readAll()
    case .readAll: break
    }
  }

  /// What is in flight may be done or not; the queues are gone.
  private func loseAll(_ body: () throws -> Void) throws {
    let submitted = open.filter { slot, _ in !waiting.contains { $0.slot == slot } }
    for (_, command) in submitted { command.lose(in: &models[command.target]) }
    open = [:]
    waiting = []
    try body()
    try prepare()
  }

  private func reconnect() throws {
    controller.close()
    slots = []
    pairs = []
    controller = try Self.attach(disk, configuration, &generator)
  }

  // MARK: The whole

  private func readAll() throws {
    for index in models.indices {
      var block = 0
      while block < models[index].blockCount {
        let limit = ModelSlot.dataByteCount / models[index].blockByteCount
        var end = min(block + limit, models[index].blockCount)
        let sectors = models[index].sectors(block..<end)
        // One by one where not all can be read.
        if models[index].readability(sectors) != .readable { end = block + 1 }
        try readBlocks(index, block..<end)
        block = end
      }
    }
  }

  private func readBlocks(_ index: Int, _ blocks: Range<Int>) throws {
    let model = models[index]
    var command = ModelCommand(entry: generator.entry(.read, model, blocks), target: index)
    let data = try slots[0].memory.part(at: 0, byteCount: blocks.count * model.blockByteCount)
    command.data = data
    command.sources = [model.sectors(blocks)]
    command.returnsData = true
    let end = try pairs[0].execute(command.entry, data: data, timeout: .seconds(60))
    try command.settle(end, in: &models[index])
  }

  /// Reads every byte, and looks at the files once the device has let go of them.
  func finish() throws {
    try readAll()
    try controller.shutDown()
    controller.close()
    disk.stop()
    for (index, path) in files.enumerated() {
      guard let path else { continue }
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      if let problem = models[index].mismatch(inFile: bytes) {
        throw ModelMismatch(description: "the file of namespace \(index + 1): \(problem)")
      }
    }
  }
}
