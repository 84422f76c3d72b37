import NVMe
import NVMeDriver
import Testing
import VFIOUser

/// Moving blocks.
@Suite(.serialized, .timeLimit(.minutes(10))) struct TransferTests {
  @Test("E4: transfers of any length come back as they went, PRP lists and pieces included")
  func lengths() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    for (index, count) in [1, 7, 8, 9, 16, 17, 255, 256, 257, 2049, 4000].enumerated() {
      let bytes = pattern(count * 512, seed: UInt64(index))
      try controller.write(namespace, block: UInt64(index), bytes)
      #expect(
        try controller.read(namespace, block: UInt64(index), count: count) == bytes, "\(count)")
    }
    #expect(try controller.read(namespace, block: 0, count: 0) == [])
  }

  @Test(
    "E4: one command moves up to a megabyte, from wherever its memory starts",
    arguments: [0, 4, 516, 4092], [512, 4096, 8192, 8704, 131_072, 1 << 20])
  func oneCommand(_ offset: Int, _ byteCount: Int) throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let pair = try controller.makeQueuePair(entryCount: 4)
    let memory = try controller.makeBuffer(byteCount: byteCount + 8192)
    let data = try memory.part(at: offset, byteCount: byteCount)
    let bytes = pattern(byteCount, seed: 3)
    try data.write(bytes)
    let write = namespace.command(.write, block: 5, count: byteCount / 512)
    #expect(try pair.execute(write, data: data, timeout: .seconds(60)).status == .success)
    #expect(try controller.read(namespace, block: 5, count: byteCount / 512) == bytes)
    // What lies around the memory of a read stays as it is.
    try memory.write([UInt8](repeating: 0xee, count: memory.byteCount))
    let read = namespace.command(.read, block: 5, count: byteCount / 512)
    #expect(try pair.execute(read, data: data, timeout: .seconds(60)).status == .success)
    #expect(try data.read() == bytes)
    #expect(
      try memory.read(at: 0, byteCount: offset) == [UInt8](repeating: 0xee, count: offset))
    let end = offset + byteCount
    #expect(
      try memory.read(at: end) == [UInt8](repeating: 0xee, count: memory.byteCount - end))
  }

  @Test("Deallocated blocks and blocks that were zeroed read zeros; their neighbours keep theirs")
  func zeros() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let bytes = pattern(64 * 512, seed: 4)
    try controller.write(namespace, block: 0, bytes)
    try controller.deallocate(namespace, block: 8, count: 8)
    let pair = try controller.makeQueuePair(entryCount: 4)
    let zero = namespace.command(.writeZeroes, block: 32, count: 3)
    #expect(try pair.execute(zero, timeout: .seconds(60)).status == .success)
    var expected = bytes
    for index in 8 * 512..<16 * 512 { expected[index] = 0 }
    for index in 32 * 512..<35 * 512 { expected[index] = 0 }
    #expect(try controller.read(namespace, block: 0, count: 64) == expected)
  }

  @Test(
    "Compare succeeds on what was written, and fails on anything else", arguments: [1, 16, 700])
  func compare(_ count: Int) throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    var bytes = pattern(count * 512, seed: 5)
    try controller.write(namespace, block: 3, bytes)
    let pair = try controller.makeQueuePair(entryCount: 4)
    let data = try controller.makeBuffer(byteCount: bytes.count)
    let entry = namespace.command(.compare, block: 3, count: count)
    try data.write(bytes)
    #expect(try pair.execute(entry, data: data, timeout: .seconds(60)).status == .success)
    bytes[bytes.count - 1] ^= 1
    try data.write(bytes)
    #expect(try pair.execute(entry, data: data, timeout: .seconds(60)).status ~= .compareFailure)
  }

  @Test("A namespace does not see what is written to another")
  func namespaces() throws {
    var settings = ServedDisk.Settings()
    settings.namespaces = ["memory:1M", "memory:1M"]
    let disk = try ServedDisk(settings)
    let controller = try disk.attach()
    let (first, second) = (try controller.namespace(1), try controller.namespace(2))
    let bytes = pattern(512, seed: 6)
    try controller.write(second, block: 9, bytes)
    #expect(
      try controller.read(first, block: 9, count: 1) == [UInt8](repeating: 0, count: 512))
    #expect(try controller.read(second, block: 9, count: 1) == bytes)
  }

  @Test("What the controller refuses is an error that names the blocks and the status")
  func statuses() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let error = #expect(throws: NVMeDriverError.self) {
      try controller.read(namespace, block: 8190, count: 4)
    }
    if case .status(.blockOutOfRange)? = error?.code {} else { Issue.record("\(error as Any)") }
    #expect(error?.description == "4 blocks from 8190 on: LBA Out of Range")
    #expect(
      try code { try controller.deallocate(namespace, block: 8192, count: 1) }
        == .status(.blockOutOfRange))
    #expect(
      try code { _ = try controller.namespace(2) } == .status(.invalidNamespaceOrFormat))
    #expect(try code { try controller.format(1, format: 5) } == .status(.invalidFormat))
    // Errors leave nothing behind.
    #expect(try controller.read(namespace, block: 8190, count: 2).count == 1024)
    #expect(HealthLog(try controller.log(.health, byteCount: 512)).errorLogEntries == 4)
  }

  @Test("What a caller asks for wrongly never reaches the controller")
  func arguments() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let mistakes: [() throws -> Void] = [
      { try controller.write(namespace, block: 0, [1, 2, 3]) },
      { _ = try controller.read(namespace, block: 0, count: -1) },
      { _ = try controller.read(namespace, block: .max, count: 2) },
      { _ = try controller.log(.health, byteCount: 0) },
      { _ = try controller.log(.health, byteCount: 6) },
      { _ = try controller.makeQueuePair(entryCount: 1) },
      { _ = try controller.makeQueuePair(entryCount: 4097) },
      { _ = try controller.makeBuffer(byteCount: 8).part(at: 5, byteCount: 4) },
      { try controller.makeBuffer(byteCount: 8).write([0], at: 8) },
      { _ = try controller.makeBuffer(byteCount: 8).read(at: -1, byteCount: 1) },
    ]
    for (index, mistake) in mistakes.enumerated() {
      #expect(try code(mistake) == .invalidArgument, "mistake \(index)")
    }
    #expect(HealthLog(try controller.log(.health, byteCount: 512)).errorLogEntries == 0)
  }

  @Test("E4: the controller copies blocks by itself, more than one command takes")
  func copies() throws {
    let disk = try ServedDisk(.init(namespaces: ["memory:32M"]))
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    // More than the 16,384 blocks of one command.
    let count = 20_001
    let bytes = pattern(count * 512, seed: 9)
    try controller.write(namespace, block: 3, bytes)
    try controller.copy(namespace, block: 3, count: UInt64(count), to: 30_000)
    #expect(try controller.read(namespace, block: 30_000, count: count) == bytes)
    try controller.copy(namespace, block: 3, count: 0, to: 3)
    for (block, target) in [(UInt64(0), UInt64(7)), (7, 0), (65_530, 0), (0, 65_530)] {
      let end = try code { try controller.copy(namespace, block: block, count: 8, to: target) }
      #expect(end == .invalidArgument)
    }
  }
}
