import BlockStorage
import Glibc
import Testing
import VFIOUser

/// Against nbdkit, where it is installed.
@Suite(
  .serialized, .timeLimit(.minutes(10)),
  .enabled("nbdkit or libnbd is not installed") { NBDServer.isHere })
struct NBDStorageTests {
  @Test(
    "What is written is read back, whatever the server can do",
    arguments: [
      ["memory", "4M"], ["--filter=nozero", "memory", "4M"],
      ["--filter=fua", "memory", "4M", "fuamode=force"],
      ["--filter=nozero", "--filter=fua", "memory", "4M", "fuamode=native", "zeromode=emulate"],
      [
        "--filter=blocksize-policy", "memory", "4M", "blocksize-minimum=512",
        "blocksize-preferred=4096", "blocksize-maximum=65536", "blocksize-error-policy=error",
      ],
    ])
  func readsBack(_ arguments: [String]) throws {
    let server = try NBDServer(arguments)
    let storage = try NBDStorage(uri: server.uri)
    #expect(storage.byteCount == 4 << 20)
    let rig = try StorageRig(storage)
    let bytes = pattern(1 << 20)
    for isDurable in [false, true] {
      #expect(try rig.write(bytes, at: 512, isDurable: isDurable) == nil)
      #expect(try rig.perform(.flush) == nil)
      #expect(try rig.read(1 << 20, at: 512) == bytes)
      for (operation, offset, count) in [
        (BlockOperation.discard, 1024, 4096), (.writeZeroes, 8192, 512 << 10),
      ] {
        let request = rig.request(
          operation, at: UInt64(offset), byteCount: count, isDurable: isDurable)
        #expect(try rig.run(request) == nil)
        var expected = bytes
        expected.replaceSubrange(
          (offset - 512)..<(offset - 512 + count), with: [UInt8](repeating: 0, count: count))
        #expect(try rig.read(1 << 20, at: 512) == expected)
        #expect(try rig.write(bytes, at: 512) == nil)
      }
    }
    #expect(!rig.wasCalledEarly)
  }

  @Test("A durable write to a server that cannot do so alone is followed by a flush")
  func flushesInstead() throws {
    let file = try TestFile(byteCount: 65536)
    let marks = try TestFile(byteCount: 0)
    let server = try NBDServer([
      "eval", "get_size=echo 65536", "can_write=exit 0", "can_flush=exit 0", "can_fua=echo none",
      "pread=dd if=\(file.path) skip=$4 count=$3 iflag=skip_bytes,count_bytes status=none",
      "pwrite=dd of=\(file.path) seek=$4 oflag=seek_bytes conv=notrunc status=none",
      "flush=echo flushed >> \(marks.path)",
    ])
    let rig = try StorageRig(NBDStorage(uri: server.uri))
    #expect(try rig.write(pattern(4096), at: 512) == nil)
    #expect(marks.contents(100, at: 0).isEmpty)
    #expect(try rig.write(pattern(4096), at: 8192, isDurable: true) == nil)
    #expect(marks.contents(100, at: 0) == Array("flushed\n".utf8))
    #expect(try rig.read(4096, at: 512) == pattern(4096))
    #expect(file.contents(4096, at: 8192) == pattern(4096))
  }

  @Test("Memory in pieces, and memory that is reached by messages")
  func memory() throws {
    let server = try NBDServer(["memory", "1M"])
    let rig = try StorageRig(NBDStorage(uri: server.uri))
    try rig.grantMessages(0, 1 << 16)
    let bytes = pattern(8192)
    try rig.engine.write(at: DMAAddress(512), from: bytes.rawSpan)
    let request = rig.request(.write, at: 4096)
    request.byteCount = 8192
    try request.data.append(DMAAddress(512), 8192, .read)
    #expect(try rig.run(request) == nil)

    let buffer = IOBuffer(byteCount: 16384)
    let reading = rig.request(.read, at: 4096)
    reading.byteCount = 8192
    reading.data.append(buffer, at: 8192, byteCount: 4096)
    reading.data.append(buffer, at: 0, byteCount: 4096)
    #expect(try rig.run(reading) == nil)
    let got = try buffer.bytes(12288)
    #expect(Array(got[8192...]) == Array(bytes[..<4096]))
    #expect(Array(got[..<4096]) == Array(bytes[4096...]))
  }

  @Test("More requests than the connection holds all end, each once")
  func manyRequests() throws {
    let server = try NBDServer(["memory", "4M"])
    let rig = try StorageRig(NBDStorage(uri: server.uri))
    let requests = try (0..<1000).map { index in
      let buffer = IOBuffer(byteCount: 4096)
      try buffer.write(at: 0, from: pattern(4096, seed: index).rawSpan)
      return rig.request(
        .write, at: UInt64(index) * 4096, byteCount: 4096, tag: index, buffer: buffer)
    }
    for request in requests { #expect(rig.submit(request) == .pending) }
    #expect(rig.ends.isEmpty)
    rig.channel.kick()
    try rig.wait { rig.ends.count == 1000 }
    #expect(rig.ends.values.allSatisfy { $0 == nil })
    rig.forgetEnds()
    for index in stride(from: 0, to: 1000, by: 97) {
      #expect(try rig.read(4096, at: UInt64(index) * 4096) == pattern(4096, seed: index))
    }
    // Polling alone finds the ends as well.
    rig.forgetEnds()
    for request in requests { #expect(rig.submit(request) == .pending) }
    rig.channel.kick()
    let end = ContinuousClock.now + .seconds(60)
    while rig.ends.count < 1000, ContinuousClock.now < end { _ = rig.channel.poll() }
    #expect(rig.ends.count == 1000)
    #expect(!rig.wasCalledEarly)
  }

  @Test("Discarding frees the space of the server's file")
  func freesSpace() throws {
    let file = try TestFile(byteCount: 4 << 20)
    let server = try NBDServer(["file", file.path])
    let storage = try NBDStorage(uri: server.uri)
    #expect(storage.traits.canDiscard && storage.traits.hasVolatileCache)
    let rig = try StorageRig(storage)
    #expect(try rig.write(pattern(4 << 20), at: 0) == nil)
    #expect(try rig.perform(.flush) == nil)
    #expect(file.contents(4 << 20, at: 0) == pattern(4 << 20))
    #expect(try rig.perform(.discard, at: 0, byteCount: 3 << 20) == nil)
    #expect(try rig.perform(.flush) == nil)
    #expect(file.allocatedByteCount <= (1 << 20) + 65536)
  }

  @Test("An error of the server is the error of that request alone")
  func serverError() throws {
    let server = try NBDServer([
      "--filter=error", "memory", "1M", "error-pwrite=ENOSPC", "error-pwrite-rate=100%",
    ])
    let rig = try StorageRig(NBDStorage(uri: server.uri))
    #expect(try rig.write(pattern(4096), at: 0) == .noSpace)
    #expect(try rig.read(4096, at: 0) == [UInt8](repeating: 0, count: 4096))
  }

  @Test(
    "A server that goes away fails what is in flight with EIO, and one that comes back is found")
  func lostServer() throws {
    let server = try NBDServer(["--filter=delay", "memory", "1M", "rdelay=30"])
    let rig = try StorageRig(NBDStorage(uri: server.uri))
    for tag in 0..<200 {
      #expect(rig.submit(rig.request(.read, byteCount: 4096, tag: tag)) == .pending)
    }
    rig.channel.kick()
    try rig.loop.runOnce(timeout: .milliseconds(50))
    #expect(rig.ends.isEmpty)
    server.kill()
    try rig.wait { rig.ends.count == 200 }
    #expect(rig.ends.values.allSatisfy { $0 == .ioError })
    // Nobody is there: it fails, and does not wait for somebody.
    #expect(try rig.write(pattern(4096), at: 0) == .ioError)
    #expect(try rig.write(pattern(4096), at: 0) == .ioError)
    try server.start()
    // It looks for the server from time to time.
    let end = ContinuousClock.now + .seconds(60)
    while try rig.write(pattern(4096), at: 0) != nil, ContinuousClock.now < end { usleep(10_000) }
    #expect(try rig.write(pattern(4096), at: 0) == nil)
    #expect(try rig.perform(.flush) == nil)
  }

  @Test("A server with another disk is not taken for the one that was lost")
  func otherServer() throws {
    let server = try NBDServer(["memory", "1M"])
    let rig = try StorageRig(NBDStorage(uri: server.uri))
    server.kill()
    let other = try NBDServer(["memory", "2M"])
    #expect(rename(other.path, server.path) == 0)
    defer { unlink(server.path) }
    try rig.wait { (try? rig.write(pattern(512), at: 0)) == .some(.ioError) }
    #expect(try rig.perform(.flush) == .ioError)
  }

  @Test("Where the server does not share its export there is one channel at a time")
  func oneChannel() throws {
    let server = try NBDServer(["--filter=multi-conn", "memory", "1M", "multi-conn-mode=disable"])
    let storage = try NBDStorage(uri: server.uri)
    #expect(!storage.traits.allowsManyChannels)
    let loop = try EventLoop(polling: .never)
    let first = try storage.makeChannel(on: loop)
    #expect(throws: Errno.resourceBusy) { try storage.makeChannel(on: loop) }
    first.close()
    let rig = try StorageRig(storage)
    #expect(try rig.write(pattern(512), at: 0) == nil)
  }

  @Test("Where it does, each channel has a connection")
  func manyChannels() throws {
    let server = try NBDServer(["memory", "1M"])
    let storage = try NBDStorage(uri: server.uri)
    #expect(storage.traits.allowsManyChannels)
    let first = try StorageRig(storage)
    let second = try StorageRig(storage)
    #expect(try first.write(pattern(4096), at: 0) == nil)
    #expect(try second.read(4096, at: 0) == pattern(4096))
  }

  @Test("A read-only export reads, says so, and refuses to write")
  func readOnly() throws {
    let server = try NBDServer(["-r", "memory", "1M"])
    let storage = try NBDStorage(uri: server.uri)
    #expect(storage.traits.isReadOnly)
    let rig = try StorageRig(storage)
    #expect(try rig.read(512, at: 0) == [UInt8](repeating: 0, count: 512))
    #expect(try rig.write(pattern(512), at: 0) == .readOnlyFileSystem)
    #expect(try rig.perform(.discard, at: 0, byteCount: 512) == .readOnlyFileSystem)
    #expect(try rig.perform(.flush) == nil)
  }

  @Test("Requests below the server's block size, or past the end, fail with EINVAL")
  func badRanges() throws {
    let server = try NBDServer([
      "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096",
      "blocksize-preferred=4096", "blocksize-maximum=1M", "blocksize-error-policy=error",
    ])
    let storage = try NBDStorage(uri: server.uri)
    #expect(storage.traits.blockByteCount == 4096)
    let rig = try StorageRig(storage)
    #expect(try rig.write(pattern(512), at: 0) == .invalidArgument)
    #expect(try rig.write(pattern(4096), at: 1 << 20) == .invalidArgument)
    #expect(try rig.write(pattern(4096), at: 4096) == nil)
  }

  @Test("A channel may be dropped with requests in flight")
  func dropped() throws {
    let server = try NBDServer(["--filter=delay", "memory", "1M", "wdelay=10"])
    let storage = try NBDStorage(uri: server.uri)
    let rig = try StorageRig(storage)
    let channel = try storage.makeChannel(on: rig.loop)
    for tag in 0..<300 {
      #expect(channel.submit(rig.request(.write, byteCount: 4096, tag: tag)) == .pending)
    }
    channel.kick()
    try rig.loop.runOnce(timeout: .milliseconds(20))
  }

  @Test("What cannot be opened is refused in one line")
  func refused() throws {
    for uri in ["nbd+unix:///?socket=/nonexistent/x", "nbd://localhost:1", "ftp://x"] {
      let error = #expect(throws: StorageError.self) {
        try StorageSpecification("nbd:\(uri)").open()
      }
      #expect(error?.code == .unavailable)
      #expect(error?.description.contains("\n") == false)
    }
    let server = try NBDServer(["memory", "1000"])
    let error = #expect(throws: StorageError.self) { try NBDStorage(uri: server.uri) }
    #expect(error?.description.contains("multiple of 512") == true)
  }
}
