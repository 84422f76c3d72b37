import BlockStorage
import Glibc
import Testing
@testable import VFIOUser

/// Every test runs on each engine, and on a disk and a file system in memory.
@Suite(.serialized, .timeLimit(.minutes(10))) struct FileStorageTests {
  struct Setting: CustomTestStringConvertible, Sendable {
    var engine: FileStorageOptions.Engine
    var place = TestFile.Place.disk
    var isDirect = false
    var testDescription: String {
      "\(engine.rawValue) in \(place.rawValue)\(isDirect ? ", direct" : "")"
    }

    func storage(_ file: TestFile) throws -> FileStorage {
      var options = FileStorageOptions()
      options.engine = engine
      options.isDirect = isDirect
      return try FileStorage(path: file.path, options)
    }
  }

  /// The engines that this machine has.
  static let engines: [FileStorageOptions.Engine] = {
    var options = FileStorageOptions()
    options.engine = .ring
    guard let file = try? TestFile(byteCount: 4096),
      (try? FileStorage(path: file.path, options)) != nil
    else { return [.threads] }
    return [.ring, .threads]
  }()
  static let settings = engines.flatMap { engine in
    TestFile.Place.allCases.map { Setting(engine: engine, place: $0) }
  }
  static let all = settings + direct

  /// With direct I/O, where the disk's file system has it.
  static let direct: [Setting] = {
    let settings = engines.map { Setting(engine: $0, isDirect: true) }
    guard let file = try? TestFile(byteCount: 4096) else { return [] }
    return settings.filter { (try? $0.storage(file)) != nil }
  }()

  @Test("What is written is read back, and is in the file", arguments: all)
  func readsBack(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 1 << 20, in: setting.place)
    let rig = try StorageRig(setting.storage(file))
    for (count, offset) in [(512, 0), (4096, 8192), (69632, 4096), (512, 512), (1 << 19, 1 << 19)] {
      let bytes = pattern(count, seed: count)
      #expect(try rig.write(bytes, at: UInt64(offset), isDurable: count > 5000) == nil)
      #expect(try rig.perform(.flush) == nil)
      #expect(file.contents(count, at: offset) == bytes)
      #expect(try rig.read(count, at: UInt64(offset)) == bytes)
    }
    #expect(!rig.wasCalledEarly)
  }

  @Test("Memory of any alignment and shape is filled and written", arguments: all)
  func scattered(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 1 << 20, in: setting.place)
    let rig = try StorageRig(setting.storage(file))
    let count = 64 << 10
    let bytes = pattern(count)
    for piece in [1, 4, 512, 1000, 4096] where count / piece <= 65536 {
      let buffer = IOBuffer(byteCount: 2 * count + 64)
      let requests = [BlockOperation.write, .read].map { operation in
        rig.request(operation, at: 4096, byteCount: 0)
      }
      // Pieces with gaps between them; too many for one call where they are small.
      var place = 3
      var done = 0
      let end = piece == 1 ? 2500 / 512 * 512 : count
      while done < end {
        let step = min(piece, end - done)
        for request in requests { request.data.append(buffer, at: place, byteCount: step) }
        try buffer.write(at: place, from: bytes.rawSpan.extracting(done..<(done + step)))
        place += step + min(step, 5)
        done += step
      }
      for request in requests { request.byteCount = end }
      #expect(try rig.run(requests[0]) == nil)
      #expect(file.contents(end, at: 4096) == Array(bytes.prefix(end)))
      try buffer.fill(at: 0, byteCount: buffer.byteCount)
      #expect(try rig.run(requests[1]) == nil)
      var span = [UInt8](repeating: 0, count: end)
      var mutable = span.mutableSpan
      var raw = mutable.mutableBytes
      try requests[1].data.read(at: 0, into: &raw)
      #expect(span == Array(bytes.prefix(end)))
    }
  }

  @Test("Guest memory, mapped or reached by messages, and its leases end", arguments: all)
  func guestMemory(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 1 << 20, in: setting.place)
    let rig = try StorageRig(setting.storage(file))
    try rig.grant(0x10_0000, SharedMemory(byteCount: 1 << 16))
    try rig.grantMessages(0x1000, 1 << 16)
    for base in [UInt64(0x10_0000), 0x1000] {
      let bytes = pattern(12288, seed: Int(base >> 12))
      let request = rig.request(.write, at: 4096)
      request.byteCount = 12288
      try request.data.append(DMAAddress(base + 0x8000), 4096, .read)
      try request.data.append(DMAAddress(base + 0x2000), 8192, .read)
      try rig.engine.write(at: DMAAddress(base + 0x8000), from: bytes.rawSpan.extracting(0..<4096))
      try rig.engine.write(
        at: DMAAddress(base + 0x2000), from: bytes.rawSpan.extracting(4096..<12288))
      #expect(try rig.run(request) == nil)
      #expect(file.contents(12288, at: 4096) == bytes)

      let reading = rig.request(.read, at: 4096)
      reading.byteCount = 12288
      try reading.data.append(DMAAddress(base), 12288, .write)
      #expect(rig.submit(reading) == .pending)
      #expect(reading.data.isInTransfer == (base == 0x10_0000))
      rig.channel.kick()
      try rig.wait { rig.ends[0] != nil }
      #expect(rig.takeEnd(0) == .some(nil))
      #expect(!reading.data.isInTransfer)
      var result = [UInt8](repeating: 0, count: 12288)
      var span = result.mutableSpan
      var raw = span.mutableBytes
      try rig.engine.read(at: DMAAddress(base), into: &raw)
      #expect(result == bytes)
    }
  }

  @Test("More requests than the engine holds all end, each once", arguments: all)
  func manyRequests(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 8 << 20, in: setting.place)
    let rig = try StorageRig(setting.storage(file))
    let count = 2000
    let requests = try (0..<count).map { index in
      let buffer = IOBuffer(byteCount: 4096)
      try buffer.write(at: 0, from: pattern(4096, seed: index).rawSpan)
      return rig.request(
        .write, at: UInt64(index) * 4096, byteCount: 4096, tag: index, buffer: buffer)
    }
    for request in requests { #expect(rig.submit(request) == .pending) }
    #expect(rig.ends.isEmpty)
    rig.channel.kick()
    try rig.wait { rig.ends.count == count }
    #expect(rig.ends.values.allSatisfy { $0 == nil })
    for index in stride(from: 0, to: count, by: 97) {
      #expect(file.contents(4096, at: index * 4096) == pattern(4096, seed: index))
    }
    // Polling alone finds the ends as well.
    rig.forgetEnds()
    for request in requests {
      request.operation = .read
      #expect(rig.submit(request) == .pending)
    }
    rig.channel.kick()
    let end = ContinuousClock.now + .seconds(60)
    while rig.ends.count < count, ContinuousClock.now < end { _ = rig.channel.poll() }
    #expect(rig.ends.count == count)
    #expect(!rig.wasCalledEarly)
  }

  @Test("Discarded and zeroed ranges read as zeros, durable or not", arguments: all)
  func zeroes(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 4 << 20, in: setting.place)
    let rig = try StorageRig(setting.storage(file))
    let bytes = pattern(4 << 20)
    for (operation, offset, count) in [
      (BlockOperation.discard, 512, 512), (.writeZeroes, 4096, 8192), (.writeZeroes, 512, 1024),
      (.discard, 1 << 20, 2 << 20), (.writeZeroes, 1 << 20, (2 << 20) + 512),
    ] {
      for isDurable in [false, true] {
        #expect(try rig.write(bytes, at: 0) == nil)
        let request = rig.request(
          operation, at: UInt64(offset), byteCount: count, isDurable: isDurable)
        #expect(try rig.run(request) == nil)
        var expected = bytes
        expected.replaceSubrange(
          offset..<(offset + count), with: [UInt8](repeating: 0, count: count))
        #expect(try rig.read(4 << 20, at: 0) == expected)
      }
    }
  }

  @Test("Discarding frees the file's space", arguments: all)
  func freesSpace(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 4 << 20, in: setting.place)
    let storage = try setting.storage(file)
    let rig = try StorageRig(storage)
    #expect(storage.traits.canDiscard)
    #expect(try rig.write(pattern(4 << 20), at: 0) == nil)
    #expect(try rig.perform(.flush) == nil)
    #expect(file.allocatedByteCount >= 4 << 20)
    #expect(try rig.perform(.discard, at: 1 << 20, byteCount: 2 << 20) == nil)
    #expect(file.allocatedByteCount <= (2 << 20) + 65536)
  }

  @Test("A full file system fails the write alone, and the channel goes on", arguments: engines)
  func full(_ engine: FileStorageOptions.Engine) throws {
    try SmallFileSystem.with(byteCount: 1 << 20) { folder in
      let path = "\(folder)/disk"
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      #expect(ftruncate(descriptor, 8 << 20) == 0)
      close(descriptor)
      var options = FileStorageOptions()
      options.engine = engine
      let rig = try StorageRig(FileStorage(path: path, options))
      #expect(try rig.write(pattern(4 << 20), at: 0) == .noSpace)
      #expect(try rig.perform(.discard, at: 0, byteCount: 8 << 20) == nil)
      #expect(try rig.write(pattern(65536), at: 65536) == nil)
      #expect(try rig.read(65536, at: 65536) == pattern(65536))
    }
  }

  @Test(
    "A file that has become shorter fails the read with EIO, and the channel goes on",
    arguments: settings)
  func shrunk(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 1 << 20, in: setting.place)
    let rig = try StorageRig(setting.storage(file))
    file.truncate(to: 6144)
    #expect(try rig.perform(.read, at: 4096, byteCount: 4096) == .ioError)
    #expect(try rig.perform(.read, at: 0, byteCount: 4096) == nil)
    // A write makes the file longer again.
    #expect(try rig.write(pattern(4096), at: 65536) == nil)
    #expect(try rig.read(4096, at: 65536) == pattern(4096))
  }

  @Test("A range past the end fails with EINVAL", arguments: engines)
  func end(_ engine: FileStorageOptions.Engine) throws {
    let file = try TestFile(byteCount: 8192)
    let rig = try StorageRig(Setting(engine: engine).storage(file))
    #expect(try rig.write(pattern(512), at: 8192) == .invalidArgument)
    #expect(try rig.perform(.read, at: 4096, byteCount: 8192) == .invalidArgument)
    #expect(try rig.perform(.discard, at: .max, byteCount: 512) == .invalidArgument)
    #expect(try rig.perform(.discard, at: 8192) == nil)
  }

  @Test("A read-only storage reads, says so, and refuses to write", arguments: engines)
  func readOnly(_ engine: FileStorageOptions.Engine) throws {
    let file = try TestFile(byteCount: 8192)
    var options = FileStorageOptions()
    options.isReadOnly = true
    options.engine = engine
    let storage = try FileStorage(path: file.path, options)
    #expect(storage.traits.isReadOnly)
    #expect(!storage.traits.canDiscard && !storage.traits.hasVolatileCache)
    let rig = try StorageRig(storage)
    #expect(try rig.read(512, at: 0) == [UInt8](repeating: 0, count: 512))
    #expect(try rig.write(pattern(512), at: 0) == .readOnlyFileSystem)
    #expect(try rig.perform(.discard, at: 0, byteCount: 512) == .readOnlyFileSystem)
    #expect(try rig.perform(.writeZeroes, at: 0, byteCount: 512) == .readOnlyFileSystem)
    #expect(try rig.perform(.flush) == nil)
  }

  @Test("A channel may be closed, or dropped, with requests in flight", arguments: settings)
  func dropped(_ setting: Setting) throws {
    let file = try TestFile(byteCount: 4 << 20, in: setting.place)
    let storage = try setting.storage(file)
    let rig = try StorageRig(storage)
    for closes in [true, false] {
      let channel = try storage.makeChannel(on: rig.loop)
      for index in 0..<600 {
        let request = rig.request(.write, at: 0, byteCount: 4096, tag: index)
        #expect(channel.submit(request) == .pending)
        if index % 2 == 0 { channel.kick() }
      }
      guard closes else { continue }
      channel.kick()
      channel.close()
      #expect(channel.submit(rig.request(.flush)) == .failed(.badFileDescriptor))
      try rig.wait { rig.ends.count == 600 }
    }
  }
}
