import Foundation
import NVMe
import Testing
import VFIOUser

@testable import NVMeDriver

/// Many commands at a time.
@Suite(.serialized, .timeLimit(.minutes(10))) struct QueuePairTests {
  @Test(
    "I20: every command of every queue ends once, and with its own data",
    arguments: [NVMeDoorbells.trapped, .shadow, .ioregionfd], [0, 2])
  func manyQueues(_ doorbells: NVMeDoorbells, _ threads: Int) throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=\(threads)"]
    let disk = try ServedDisk(settings)
    let controller = try disk.attach(doorbells)
    let namespace = try controller.namespace(1)
    let bytes = pattern(256 << 10, seed: 7)
    try controller.write(namespace, block: 0, bytes)
    // Sizes that wrap at different times, the smallest included.
    let pairs = try [2, 3, 17, 64].map { try controller.makeQueuePair(entryCount: $0) }
    var random = SeededRandom(seed: 8)
    for pair in pairs {
      let buffers = try (0..<pair.entryCount).map { _ in
        try controller.makeBuffer(byteCount: 1024)
      }
      var places = [UInt64](repeating: 0, count: pair.entryCount)
      var open = Set<Int>()
      var left = 200
      var ended: [NVMeCompletion] = []
      while left > 0 || !open.isEmpty {
        for tag in 0..<pair.entryCount where left > 0 && !pair.isFull && !open.contains(tag) {
          places[tag] = UInt64.random(in: 0...510, using: &random)
          try pair.submit(
            namespace.command(.read, block: places[tag], count: 2), data: buffers[tag], tag: tag)
          open.insert(tag)
          left -= 1
        }
        try pair.ring()
        ended.removeAll()
        try #require(try pair.reap(into: &ended, timeout: .seconds(60)) > 0)
        for completion in ended {
          #expect(completion.status == .success)
          #expect(open.remove(completion.tag) != nil, "command \(completion.tag) ended twice")
          let place = Int(places[completion.tag]) * 512
          #expect(try buffers[completion.tag].read() == Array(bytes[place..<(place + 1024)]))
        }
      }
      #expect(pair.inFlightCount == 0)
      for buffer in buffers { controller.release(buffer) }
    }
  }

  @Test("Commands that end in another order than they began keep their tags and their data")
  func outOfOrder() throws {
    let storage = HeldStorage()
    let disk = try ServedDisk(storages: [storage])
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let pair = try controller.makeQueuePair(entryCount: 16)
    let buffers = try (0..<10).map { _ in try controller.makeBuffer(byteCount: 512) }
    for tag in 0..<10 {
      try pair.submit(
        namespace.command(.read, block: UInt64(tag), count: 1), data: buffers[tag], tag: tag)
    }
    try pair.ring()
    #expect(storage.waits(for: 10))
    #expect(pair.inFlightCount == 10)
    storage.release(sortedBy: >)
    let ended = try pair.reap(10)
    #expect(ended.map(\.tag) == (0..<10).reversed())
    for tag in 0..<10 {
      #expect(try buffers[tag].read() == [UInt8](repeating: UInt8(tag), count: 512))
    }
  }

  @Test("An error of the storage is the command's own; its neighbours succeed")
  func storageError() throws {
    let storage = HeldStorage()
    let disk = try ServedDisk(storages: [storage])
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let pair = try controller.makeQueuePair(entryCount: 16)
    let data = try controller.makeBuffer(byteCount: 512)
    try pair.submit(namespace.command(.read, block: 1, count: 1), data: data, tag: 1)
    try pair.ring()
    #expect(storage.waits(for: 1))
    storage.release(error: .ioError)
    #expect(try pair.reap(1).map(\.status.withoutMore) == [.unrecoveredReadError])
    try pair.submit(namespace.command(.write, block: 1, count: 1), data: data, tag: 2)
    try pair.ring()
    #expect(storage.waits(for: 1))
    storage.release(error: .noSpace)
    #expect(try pair.reap(1).map(\.status.withoutMore) == [.capacityExceeded])
    try pair.submit(namespace.command(.read, block: 1, count: 1), data: data, tag: 3)
    try pair.ring()
    #expect(storage.waits(for: 1))
    storage.release()
    #expect(try pair.reap(1).map(\.status.withoutMore) == [.success])
  }

  @Test("A full queue refuses a command, and takes it when another has ended")
  func full() throws {
    let storage = HeldStorage()
    let disk = try ServedDisk(storages: [storage])
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let pair = try controller.makeQueuePair(entryCount: 3)
    let flush = namespace.command(.flush)
    try pair.submit(flush, tag: 1)
    try pair.submit(flush, tag: 2)
    #expect(pair.isFull)
    #expect(try code { try pair.submit(flush, tag: 3) } == .invalidArgument)
    #expect(try code { _ = try pair.execute(flush, timeout: .seconds(1)) } == .invalidArgument)
    try pair.ring()
    #expect(storage.waits(for: 2))
    storage.release()
    #expect(try pair.reap(2).map(\.tag) == [1, 2])
    try pair.submit(flush, tag: 3)
    try pair.ring()
    #expect(storage.waits(for: 1))
    storage.release()
    #expect(try pair.reap(1).map(\.tag) == [3])
    let data = try controller.makeBuffer(byteCount: 4 << 20)
    #expect(
      try code { try pair.submit(namespace.command(.read), data: data) } == .invalidArgument)
    #expect(pair.inFlightCount == 0)
  }

  @Test("Queue pairs are deleted with commands in flight, and their numbers are used again")
  func deletion() throws {
    let storage = HeldStorage()
    var settings = ServedDisk.Settings()
    settings.knobs = ["queues=3"]
    let disk = try ServedDisk(settings, storages: [storage])
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let pairs = try (0..<3).map { _ in try controller.makeQueuePair(entryCount: 8) }
    #expect(pairs.map(\.identifier) == [1, 2, 3])
    #expect(try code { _ = try controller.makeQueuePair(entryCount: 8) } == .invalidArgument)
    try pairs[1].submit(namespace.command(.flush))
    try pairs[1].ring()
    #expect(storage.waits(for: 1))
    // The controller ends the command first.
    let releaser = TestThread {
      usleep(20_000)
      storage.release()
    }
    try controller.delete(pairs[1])
    releaser.join()
    #expect(try code { try controller.delete(pairs[1]) } == .invalidArgument)
    #expect(try code { try pairs[1].submit(namespace.command(.flush)) } == .invalidArgument)
    #expect(try code { try pairs[1].ring() } == .invalidArgument)
    let again = try controller.makeQueuePair(entryCount: 4)
    #expect(again.identifier == 2)
    try again.submit(namespace.command(.flush), tag: 5)
    try again.ring()
    #expect(storage.waits(for: 1))
    storage.release()
    #expect(try again.reap(1).map(\.tag) == [5])
  }

  @Test("Interrupts wake a driver that sleeps, on each queue by a vector of its own")
  func interrupts() throws {
    let storage = HeldStorage()
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=2"]
    let disk = try ServedDisk(settings, storages: [storage])
    let controller = try disk.attach()
    let namespace = try controller.namespace(1)
    let pairs = try (0..<3).map { _ in
      try controller.makeQueuePair(entryCount: 8, usesInterrupt: true)
    }
    for pair in pairs {
      for round in 0..<20 {
        try pair.submit(namespace.command(.flush), tag: round)
        try pair.ring()
        #expect(storage.waits(for: 1))
        var ended: [NVMeCompletion] = []
        // Nothing has ended, so nothing wakes it.
        if round == 0 { #expect(try pair.reap(into: &ended, timeout: .milliseconds(5)) == 0) }
        storage.release()
        // By the interrupt itself, every other time: the pair would also look without one. What an
        // earlier round left of it does not count.
        while round % 2 == 0, ended.isEmpty {
          try #require(try #require(pair.interrupt).wait(timeout: .seconds(60)) != nil)
          try pair.reap(into: &ended)
        }
        if ended.isEmpty { #expect(try pair.reap(into: &ended, timeout: .seconds(60)) == 1) }
        #expect(ended.map(\.tag) == [round])
      }
    }
  }

  @Test("Pairs on threads of their own work at the same time")
  func threads() throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=2"]
    let disk = try ServedDisk(settings)
    let controller = try disk.attach(memoryByteCount: 32 << 20)
    let namespace = try controller.namespace(1)
    let bytes = pattern(512 << 10, seed: 9)
    try controller.write(namespace, block: 0, bytes)
    var threads: [TestThread] = []
    for index in 0..<3 {
      // Safety: each pair and its buffer go to one thread.
      nonisolated(unsafe) let pair = try controller.makeQueuePair(
        entryCount: 16, usesInterrupt: index == 0)
      let buffer = try controller.makeBuffer(byteCount: 8192)
      threads.append(
        TestThread {
          for round in 0..<200 {
            let block = (index * 701 + round * 37) % 1000
            let read = namespace.command(.read, block: UInt64(block), count: 16)
            let end = try? pair.execute(read, data: buffer, timeout: .seconds(60))
            #expect(end?.status == .success)
            let place = block * 512
            #expect((try? buffer.read()) == Array(bytes[place..<(place + 8192)]))
          }
        })
    }
    for thread in threads { thread.join() }
  }
}
