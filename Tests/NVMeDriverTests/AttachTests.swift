import EmulatedDevices
import Foundation
import NVMe
import NVMeDriver
import Testing

/// Taking a controller, and giving it back.
@Suite(.serialized, .timeLimit(.minutes(10))) struct AttachTests {
  @Test(
    "A driver attaches, whatever the doorbells, and reads back what it wrote",
    arguments: [NVMeDoorbells.auto, .trapped, .shadow, .ioregionfd, .ioeventfd], [0, 2])
  func attach(_ doorbells: NVMeDoorbells, _ threads: Int) throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=\(threads)"]
    let disk = try ServedDisk(settings)
    try useOnce(try disk.attach(doorbells))
  }

  @Test(
    "E3: a driver rings mapped doorbells of a device that polls", arguments: [0, 2],
    [NVMeDoorbells.auto, .mapped, .shadow])
  func mapped(_ threads: Int, _ doorbells: NVMeDoorbells) throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["doorbells=mapped", "queue-threads=\(threads)"]
    settings.polling = .always
    let disk = try ServedDisk(settings)
    let controller = try disk.attach(doorbells)
    #expect(controller.mapsDoorbells == (doorbells != .shadow))
    try useOnce(controller)
  }

  private func useOnce(_ controller: NVMeController) throws {
    let namespace = try controller.namespace(1)
    let bytes = pattern(64 * 512, seed: 1)
    try controller.write(namespace, block: 100, bytes)
    try controller.flush(namespace)
    #expect(try controller.read(namespace, block: 100, count: 64) == bytes)
    controller.close()
  }

  @Test(
    "I20, E2: a driver rings by descriptors, also after a reset, and says so", arguments: [0, 2])
  func descriptors(_ threads: Int) throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=\(threads)"]
    let disk = try ServedDisk(settings)
    for doorbells in [NVMeDoorbells.ioregionfd, .ioeventfd] {
      let controller = try disk.attach(doorbells)
      #expect(
        controller.doorbellPath == (doorbells == .ioregionfd ? .ioregionfd : .shadowAndEvents))
      for _ in 0..<3 {
        let namespace = try controller.namespace(1)
        let pairs = try (0..<3).map { _ in try controller.makeQueuePair(entryCount: 16) }
        var ended: [NVMeCompletion] = []
        for round in 1...40 {
          for pair in pairs {
            try pair.submit(namespace.command(.flush), tag: round)
            try pair.ring()
          }
          for pair in pairs {
            while pair.inFlightCount > 0 {
              guard try pair.reap(into: &ended, timeout: .seconds(60)) > 0 else {
                Issue.record("a command does not end")
                return
              }
            }
          }
        }
        #expect(ended.count == 120 && ended.allSatisfy { $0.status.isSuccess })
        try controller.reset()
      }
      controller.close()
    }
  }

  @Test("A device that offers no descriptors for its doorbells is refused")
  func noDescriptors() throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["doorbells=mapped"]
    settings.polling = .always
    let disk = try ServedDisk(settings)
    #expect(try code { _ = try disk.attach(.ioregionfd) } == .unsupported)
    let controller = try disk.attach(.ioeventfd)
    #expect(try code { _ = try controller.makeQueuePair(entryCount: 8) } == .unsupported)
    controller.close()
  }

  @Test("A driver takes the folder that holds a socket named cntrl")
  func folder() throws {
    let disk = try ServedDisk()
    let folder = disk.path + ".folder"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createSymbolicLink(
      atPath: folder + "/cntrl", withDestinationPath: disk.path)
    try useOnce(try NVMeController.attach(path: folder))
  }

  @Test(
    "E4: a device that reaches memory by messages moves the same data", arguments: [0, 2],
    [NVMeDoorbells.trapped, .shadow])
  func byMessages(_ threads: Int, _ doorbells: NVMeDoorbells) throws {
    var settings = ServedDisk.Settings()
    settings.knobs = ["queue-threads=\(threads)"]
    let disk = try ServedDisk(settings)
    try useOnce(try disk.attach(doorbells, sharesMemory: false))
  }

  @Test(
    "E16: queue pairs whose shadow doorbells would lie beyond their page cannot be made",
    arguments: [(4, 31), (5, 15), (7, 3), (8, 1)])
  func strideOfShadows(doorbellStride: Int, limit: Int) throws {
    var settings = ServedDisk.Settings()
    settings.doorbellStride = UInt8(doorbellStride)
    let disk = try ServedDisk(settings)
    let controller = try disk.attach(.shadow)
    for number in 1...2 {
      #expect(controller.queuePairLimit == limit)
      for _ in 0..<limit { _ = try controller.makeQueuePair(entryCount: 2) }
      #expect(try code { _ = try controller.makeQueuePair(entryCount: 2) } == .invalidArgument)
      if number == 1 { try controller.reset() }
    }
    controller.close()
    // By accesses there is no such limit.
    let other = try disk.attach(.trapped)
    #expect(other.queuePairLimit == 64)
    let flush = try other.namespace(1).command(.flush)
    let pair = try other.makeQueuePair(entryCount: 2)
    #expect(try pair.execute(flush, timeout: .seconds(20)).status.isSuccess)
  }

  @Test("E16: where no shadow doorbell but the first fits, shadows are refused")
  func noShadowFits() throws {
    var settings = ServedDisk.Settings()
    settings.doorbellStride = 9
    let disk = try ServedDisk(settings)
    #expect(try code { _ = try disk.attach(.shadow) } == .unsupported)
  }

  @Test("Identify tells of the controller and of each of its namespaces")
  func identify() throws {
    var settings = ServedDisk.Settings()
    settings.namespaces = ["memory:4M", "null:1G", "memory:513K"]
    settings.knobs = ["serial=abc", "queues=5", "queue-depth=100", "mdts=3"]
    let disk = try ServedDisk(settings)
    let controller = try disk.attach()
    #expect(controller.identity.serialNumber == "abc")
    #expect(controller.identity.version == 0x0001_0400)
    #expect(controller.identity.maximumTransferShift == 3)
    #expect(controller.capabilities.maximumQueueEntryCount == 100)
    #expect(controller.queuePairLimit == 5)
    #expect(try controller.namespaces() == [1, 2, 3])
    #expect(try controller.namespace(1).blockCount == 8192)
    #expect(try controller.namespace(2).blockCount == 1 << 21)
    #expect(try controller.namespace(3).blockCount == 1026)
    #expect(try controller.status().isReady)
  }

  @Test("Features that are set are read back, and a format changes the size of blocks")
  func features() throws {
    let disk = try ServedDisk()
    let controller = try disk.attach()
    try controller.setFeature(.arbitration, 3)
    #expect(try controller.feature(.arbitration) == 3)
    try controller.write(try controller.namespace(1), block: 0, [UInt8](repeating: 7, count: 512))
    try controller.format(1, format: 1)
    let namespace = try controller.namespace(1)
    #expect(namespace.blockByteCount == 4096)
    #expect(namespace.blockCount == 1024)
    #expect(
      try controller.read(namespace, block: 0, count: 1) == [UInt8](repeating: 0, count: 4096))
  }

  @Test("A second driver finds the data of the first; one that comes too early waits in vain")
  func again() throws {
    let disk = try ServedDisk()
    let first = try disk.attach()
    let bytes = pattern(4096, seed: 2)
    try first.write(try first.namespace(1), block: 8, bytes)
    #expect(try code { _ = try disk.attach(timeout: .milliseconds(100)) } == .connection)
    first.close()
    let second = try disk.attach()
    #expect(try second.read(try second.namespace(1), block: 8, count: 8) == bytes)
    #expect(try code { _ = try first.status() } == .connection)
  }

  @Test("A controller that a driver left running does not touch the memory of the next one")
  func leftRunning() throws {
    let storage = HeldStorage()
    let disk = try ServedDisk(storages: [storage])
    for doorbells in [NVMeDoorbells.shadow, .trapped] {
      let first = try disk.attach(doorbells)
      let pair = try first.makeQueuePair(entryCount: 16)
      let namespace = try first.namespace(1)
      for tag in 0..<4 {
        try pair.submit(
          namespace.command(.read, block: UInt64(tag), count: 1),
          data: try first.makeBuffer(byteCount: 512), tag: tag)
      }
      try pair.ring()
      #expect(storage.waits(for: 4))
      first.close()
      storage.release()
      let second = try disk.attach(doorbells)
      // Beyond the page of Identify, where the first driver had its queues, nobody has written.
      _ = try second.makeBuffer(byteCount: 4096)
      let probe = try second.makeBuffer(byteCount: 4 << 20)
      #expect(try probe.read() == [UInt8](repeating: 0, count: 4 << 20))
      #expect(try second.status().isReady)
      second.close()
    }
  }

  @Test("What is no NVMe controller is refused, and so are doorbells that cannot be mapped")
  func refused() throws {
    let edu = try ServedDisk(storages: [], kind: EduDevice.self)
    #expect(try code { _ = try edu.attach() } == .unsupported)
    let trapped = try ServedDisk()
    #expect(try code { _ = try trapped.attach(.mapped) } == .unsupported)
    #expect(try code { _ = try trapped.attach(memoryByteCount: 4096) } == .outOfMemory)
    // Nothing of that keeps others away.
    trapped.stop()
    #expect(try code { _ = try trapped.attach() } == .connection)
  }

  @Test("A device that is let go of leaves neither threads nor descriptors behind")
  func release() throws {
    func count(_ folder: String) throws -> Int {
      try FileManager.default.contentsOfDirectory(atPath: "/proc/self/" + folder).count
    }
    func serve() throws {
      var settings = ServedDisk.Settings()
      settings.knobs = ["queue-threads=3"]
      settings.namespaces = ["memory:1M", "null:1M"]
      let disk = try ServedDisk(settings)
      let controller = try disk.attach()
      let pairs = try (0..<4).map { _ in try controller.makeQueuePair(entryCount: 4) }
      let flush = try controller.namespace(1).command(.flush)
      for pair in pairs {
        #expect(try pair.execute(flush, timeout: .seconds(60)).status.isSuccess)
      }
      controller.close()
    }
    try serve()
    let (threads, descriptors) = (try count("task"), try count("fd"))
    for _ in 0..<5 { try serve() }
    // Threads end a little after the device; the test's own come and go.
    var rounds = 0
    while try count("task") > threads + 2 || count("fd") > descriptors + 4, rounds < 60_000 {
      rounds += 1
      usleep(1000)
    }
    #expect(try count("task") <= threads + 2)
    let left = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
      try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0)
    }
    #expect(left.count <= descriptors + 4, "\(left.sorted())")
  }
}
