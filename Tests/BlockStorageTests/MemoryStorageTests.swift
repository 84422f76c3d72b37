import BlockStorage
import Glibc
import Testing
import VFIOUser

@Suite(.serialized) struct MemoryStorageTests {
  @Test("What is written to memory is read back, at once")
  func readsBack() throws {
    let rig = try StorageRig(MemoryStorage(byteCount: 1 << 20))
    let bytes = pattern(5000)
    #expect(try rig.write(bytes, at: 4096 - 512) == nil)
    #expect(try rig.read(5000, at: 4096 - 512) == bytes)
    #expect(try rig.read(512, at: 0) == [UInt8](repeating: 0, count: 512))
    #expect(rig.submit(rig.request(.flush)) == .done)
  }

  @Test("Zeroed and discarded ranges read as zeros, and nothing beside them")
  func zeroes() throws {
    let rig = try StorageRig(MemoryStorage(byteCount: 1 << 20))
    let bytes = pattern(1 << 20)
    for (operation, offset, count) in [
      (BlockOperation.discard, 512, 512), (.writeZeroes, 4096, 8192),
      (.discard, 100_000, 300_001), (.writeZeroes, 500_224, 131_072),
    ] {
      #expect(try rig.write(bytes, at: 0) == nil)
      #expect(try rig.perform(operation, at: UInt64(offset), byteCount: count) == nil)
      var expected = bytes
      expected.replaceSubrange(
        offset..<(offset + count), with: [UInt8](repeating: 0, count: count))
      #expect(try rig.read(1 << 20, at: 0) == expected)
    }
  }

  @Test("Discarding memory gives its pages back")
  func freesPages() throws {
    let storage = try MemoryStorage(byteCount: 64 << 20)
    let rig = try StorageRig(storage)
    let before = residentByteCount()
    let request = rig.request(.write, byteCount: 1 << 20)
    for index in 0..<64 {
      request.byteOffset = UInt64(index) << 20
      #expect(try rig.run(request) == nil)
    }
    #expect(residentByteCount() - before > 48 << 20)
    #expect(try rig.perform(.discard, at: 0, byteCount: 64 << 20) == nil)
    #expect(residentByteCount() - before < 32 << 20)
  }

  @Test("A range past the end fails with EINVAL, and one that ends there works")
  func end() throws {
    let rig = try StorageRig(MemoryStorage(byteCount: 8192))
    #expect(try rig.write(pattern(4096), at: 4096) == nil)
    #expect(try rig.write(pattern(4096), at: 4608) == .invalidArgument)
    #expect(try rig.perform(.discard, at: .max, byteCount: 1) == .invalidArgument)
    #expect(try rig.perform(.discard, at: 8192, byteCount: 0) == nil)
  }

  @Test("Memory of no bytes, or of too many, is refused")
  func badSizes() {
    #expect(throws: Errno.invalidArgument) { try MemoryStorage(byteCount: 0) }
    #expect(throws: Errno.noMemory) { try MemoryStorage(byteCount: 1 << 62) }
  }

  @Test("Two loops may write the same blocks at once")
  func concurrentLoops() async throws {
    let storage = try MemoryStorage(byteCount: 256 << 10)
    await withTaskGroup(of: Bool.self) { group in
      for seed in 1...3 {
        group.addTask {
          guard let rig = try? StorageRig(storage) else { return false }
          let bytes = pattern(64 << 10, seed: seed)
          for round in 0..<200 {
            guard (try? rig.write(bytes, at: UInt64(round % 4) << 12)) == .some(nil),
              (try? rig.perform(.discard, at: 0, byteCount: 128 << 10)) == .some(nil),
              (try? rig.read(4096, at: 0)) != nil
            else { return false }
          }
          return true
        }
      }
      for await isFine in group { #expect(isFine) }
    }
  }

  @Test("The null storage moves nothing and is always done")
  func null() throws {
    let storage = NullStorage(byteCount: 1 << 40)
    #expect(storage.byteCount == 1 << 40)
    let rig = try StorageRig(storage)
    let buffer = IOBuffer(byteCount: 4096)
    try buffer.fill(at: 0, byteCount: 4096, 0x5a)
    #expect(rig.submit(rig.request(.read, byteCount: 4096, buffer: buffer)) == .done)
    #expect(try buffer.bytes(4096).allSatisfy { $0 == 0x5a })
    for operation in [BlockOperation.write, .flush, .discard, .writeZeroes] {
      #expect(rig.submit(rig.request(operation, byteCount: 512)) == .done)
    }
  }

  private func residentByteCount() -> Int {
    var text = [UInt8](repeating: 0, count: 256)
    let file = open("/proc/self/statm", O_RDONLY)
    defer { close(file) }
    let count = Glibc.read(file, &text, text.count)
    let words = String(decoding: text.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * sysconf(CInt(_SC_PAGESIZE)) : 0
  }
}
