import Glibc
import NVMe
import Testing

@testable import NVMeDriver
@testable import VFIOUser

/// Resets, and servers that hang or go away: every call comes to an end.
@Suite(.serialized, .timeLimit(.minutes(10))) struct FailureTests {
  @Test(
    "E9: after a reset with commands in flight nothing ends late, and new queues work",
    arguments: [NVMeDoorbells.trapped, .shadow, .ioregionfd, .ioeventfd], [0, 2])
  func reset(_ doorbells: NVMeDoorbells, _ threads: Int) throws {
    let storage = HeldStorage()
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=\(threads)"]
    let disk = try ServedDisk(settings, storages: [storage])
    let controller = try disk.attach(doorbells)
    let namespace = try controller.namespace(1)
    let old = try controller.makeQueuePair(entryCount: 8)
    let data = try controller.makeBuffer(byteCount: 512)
    for tag in 0..<5 {
      try old.submit(namespace.command(.read, block: UInt64(tag), count: 1), data: data, tag: tag)
    }
    try old.ring()
    #expect(storage.waits(for: 5))
    let releaser = TestThread {
      usleep(20_000)
      storage.release()
    }
    try controller.reset()
    releaser.join()
    #expect(old.inFlightCount == 0)
    var ended: [NVMeCompletion] = []
    #expect(try code { try old.reap(into: &ended) } == .invalidArgument)
    #expect(try code { try old.submit(namespace.command(.flush)) } == .invalidArgument)
    // The new queue has the old one's number and memory.
    let new = try controller.makeQueuePair(entryCount: 8)
    #expect(new.identifier == old.identifier)
    #expect(try new.reap(into: &ended) == 0)
    try new.submit(namespace.command(.flush), tag: 9)
    try new.ring()
    #expect(storage.waits(for: 1))
    storage.release()
    #expect(try new.reap(1).map(\.tag) == [9])
    #expect(try new.reap(into: &ended) == 0)
  }

  @Test("Resets give back all the driver's memory", arguments: [NVMeDoorbells.trapped, .shadow])
  func memory(_ doorbells: NVMeDoorbells) throws {
    let disk = try ServedDisk()
    let controller = try disk.attach(doorbells, memoryByteCount: 2 << 20)
    let namespace = try controller.namespace(1)
    // What is free in one piece with a pair's memory in use.
    func largest() -> Int {
      var count = 0
      while true {
        guard let buffer = try? controller.makeBuffer(byteCount: (count + 1) * 4096) else { break }
        controller.release(buffer)
        count += 1
      }
      return count
    }
    _ = try controller.read(namespace, block: 0, count: 1)
    let free = largest()
    for _ in 0..<20 {
      try controller.reset()
      _ = try controller.makeQueuePair(entryCount: 32)
      try controller.reset()
      _ = try controller.read(namespace, block: 0, count: 1)
    }
    #expect(largest() == free)
  }

  @Test("Data stays over resets, and over a shutdown")
  func shutDown() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let bytes = pattern(512, seed: 10)
    try controller.write(namespace, block: 77, bytes)
    try controller.shutDown()
    #expect(try controller.status().shutdown == .complete)
    try controller.reset()
    #expect(try controller.read(namespace, block: 77, count: 1) == bytes)
  }

  @Test("A server that hangs is an error in time; once it goes on, a reset makes the driver work")
  func hung() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach(memoryByteCount: 4 << 20)
    let namespace = try controller.namespace(1)
    let bytes = pattern(131_072, seed: 11)
    try controller.write(namespace, block: 0, bytes)
    try controller.limitWaits(to: .milliseconds(300))
    try disk.whileHung { () throws in
      #expect(try code { _ = try controller.read(namespace, block: 0, count: 1) } == .timedOut)
      #expect(try code { _ = try controller.status() } == .timedOut)
      #expect(try code { _ = try controller.identify(1, namespace: 0) } == .timedOut)
      #expect(try code { try controller.reset() } == .timedOut)
    }
    // The command may end at any time, into memory that nobody else has meanwhile.
    #expect(
      try code { _ = try controller.read(namespace, block: 0, count: 1) } == .invalidArgument)
    try controller.limitWaits(to: .seconds(60))
    var attempts = 0
    while try code({ try controller.reset() }) != nil, attempts < 20 { attempts += 1 }
    #expect(try controller.read(namespace, block: 0, count: 256) == bytes)
  }

  @Test("A server that ends is an error at once, with commands in flight and without")
  func ended() throws {
    let storage = HeldStorage()
    let disk = try ServedDisk(storages: [storage])
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let polled = try controller.makeQueuePair(entryCount: 8)
    let sleeping = try controller.makeQueuePair(entryCount: 8, usesInterrupt: true)
    let data = try controller.makeBuffer(byteCount: 512)
    for pair in [polled, sleeping] {
      try pair.submit(namespace.command(.read, block: 0, count: 1), data: data)
      try pair.ring()
    }
    #expect(storage.waits(for: 2))
    let stopper = TestThread {
      usleep(20_000)
      storage.release(error: .ioError)
    }
    disk.stop()
    stopper.join()
    for pair in [polled, sleeping] {
      // What ended in time is told, and then that there is nobody any more.
      var last: NVMeDriverError.Code?
      for _ in 0..<2 where last == nil && pair.inFlightCount > 0 {
        var ended: [NVMeCompletion] = []
        last = try code { try pair.reap(into: &ended, timeout: .seconds(60)) }
      }
      #expect(last == nil || last == .connection)
      try? pair.submit(namespace.command(.flush))
      var ended: [NVMeCompletion] = []
      #expect(
        try code {
          try pair.ring()
          try pair.reap(into: &ended, timeout: .seconds(60))
        } == .connection)
    }
    #expect(try code { try controller.reset() } == .connection)
    #expect(try code { _ = try controller.read(namespace, block: 0, count: 1) } == .connection)
  }

  @Test("A fatal status ends a wait, and a reset mends it")
  func fatal() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    // A queue in memory that does not exist.
    var entry = SubmissionQueueEntry()
    entry.opcode = AdminOpcode.createCompletionQueue.rawValue
    entry.prp1 = 0x7000_0000_0000
    entry.dword10 = 1 | 7 << 16
    entry.dword11 = 1
    try controller.execute(entry)
    entry.opcode = AdminOpcode.createSubmissionQueue.rawValue
    entry.dword11 = 1 | 1 << 16
    try controller.execute(entry)
    try controller.writeRegister(1, ControllerRegisterOffset.submissionQueueTail(1, stride: 4))
    var isFatal = false
    for _ in 0..<60_000 where !isFatal {
      isFatal = try controller.status().isFatal
      if !isFatal { usleep(1000) }
    }
    #expect(isFatal)
    try controller.reset()
    #expect(try controller.read(namespace, block: 0, count: 1).count == 512)
  }

  @Test("E9: formats in the middle of I/O leave a namespace that works; each command ends")
  func formats() throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=2"]
    let disk = try ServedDisk(settings)
    let controller = try disk.attach()
    let pairs = try (0..<3).map { _ in try controller.makeQueuePair(entryCount: 16) }
    let data = try controller.makeBuffer(byteCount: 65_536)
    let namespace = try controller.namespace(1)
    for round in 0..<20 {
      for pair in pairs {
        for block in 0..<15 {
          let opcode: IOOpcode = block % 3 == 0 ? .write : .read
          try pair.submit(namespace.command(opcode, block: UInt64(block), count: 8), data: data)
        }
        try pair.ring()
      }
      try controller.format(1, format: round % 2)
      for pair in pairs {
        let ended = try pair.reap(15)
        #expect(ended.count == 15)
        #expect(ended.allSatisfy { $0.status.isSuccess || $0.status ~= .formatInProgress })
      }
    }
    let formatted = try controller.namespace(1)
    #expect(formatted.blockByteCount == 4096)
    let bytes = pattern(32 * 4096, seed: 12)
    try controller.write(formatted, block: 100, bytes)
    #expect(try controller.read(formatted, block: 100, count: 32) == bytes)
  }

  @Test("A server ends whenever it is told to, with queues of other threads at work")
  func endsAtWork() throws {
    for round in 0..<25 {
      var settings = ServedDisk.Settings()
      settings.knobs = ["queue-threads=3"]
      settings.onDisconnect = round % 2 == 0 ? .reset : .keep
      let disk = try ServedDisk(settings)
      let controller = try disk.attach(memoryByteCount: 2 << 20)
      let namespace = try controller.namespace(1)
      let data = try controller.makeBuffer(byteCount: 65_536)
      for _ in 0..<4 {
        let pair = try controller.makeQueuePair(entryCount: 32)
        for block in 0..<31 {
          try pair.submit(namespace.command(.read, block: UInt64(block), count: 128), data: data)
        }
        try pair.ring()
      }
      disk.stop()
      #expect(try code { _ = try controller.status() } == .connection)
    }
  }
}

extension NVMeController {
  /// Has each wait from now on end after `timeout`; attaching took as long as the machine needs.
  fileprivate func limitWaits(to timeout: Duration) throws {
    options.timeout = timeout
    client.options.timeout = timeout
    try client.channel.enableBlockingReceive(timeout: timeout)
  }
}
