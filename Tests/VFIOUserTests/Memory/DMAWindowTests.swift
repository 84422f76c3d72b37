import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Windows on guest memory") struct DMAWindowTests {
  private static let entry = (0..<64).map { UInt8($0) }

  @Test("E4: an entry of a mapped ring is read as it is, and a completion is written as it is")
  func mapped() throws {
    let rig = try MemoryRig()
    let memory = try SharedMemory(byteCount: 8192)
    try rig.map(0x1000, memory)
    let window = try rig.window(0x2000, 4096)
    try memory.write(at: 4096 + 64, from: Self.entry.rawSpan)
    let words = try window.load64Bytes(at: 64)
    for index in 0..<8 {
      #expect(try Self.entry.rawSpan.load(at: index * 8, as: UInt64.self) == words[index])
    }
    try window.store16Bytes(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908, at: 16)
    var bytes = [UInt8](repeating: 0, count: 16)
    try bytes.withMutableRawSpan { try memory.read(at: 4096 + 16, into: &$0) }
    #expect(bytes == Array(0..<16))
    try window.store32(0xabcd_0123, at: 4092)
    #expect(try memory.load32(at: 8188) == 0xabcd_0123)
    #expect(try window.load32(at: 4092) == 0xabcd_0123)
    #expect(window.isMapped)
  }

  @Test("E5: an access past the window's end fails, though the memory goes on")
  func bounds() throws {
    let rig = try MemoryRig()
    try rig.map(0, try SharedMemory(byteCount: 8192))
    let window = try rig.window(0, 4096)
    for offset in [4040, 4096, -8, -1, Int.max, Int.min] {
      #expect(failure { () throws(DMAError) in try window.load64Bytes(at: offset) } == .notMapped)
    }
    #expect(failure { () throws(DMAError) in try window.load32(at: 4093) } == .notMapped)
    for offset in [4088, 4096, -8, Int.max, Int.min] {
      #expect(
        failure { () throws(DMAError) in try window.store16Bytes(1, 2, at: offset) } == .notMapped)
    }
    #expect(failure { () throws(DMAError) in try window.store32(1, at: 4096) } == .notMapped)
    #expect(try window.load64Bytes(at: 4032)[0] == 0)
  }

  @Test("E5: a window follows the grants: taken back, granted elsewhere, without a right")
  func followsGrants() throws {
    let rig = try MemoryRig()
    let window = try rig.window(0x1000, 4096)
    #expect(failure { () throws(DMAError) in try window.load32(at: 0) } == .notMapped)
    #expect(!window.isMapped)
    let first = try SharedMemory(byteCount: 4096)
    try first.store32(1, at: 0)
    try rig.map(0x1000, first)
    #expect(try window.load32(at: 0) == 1)
    try rig.unmap(0x1000, 4096)
    #expect(failure { () throws(DMAError) in try window.load32(at: 0) } == .notMapped)
    #expect(
      failure { () throws(DMAError) in try window.store16Bytes(0, 0, at: 0) } == .notMapped)
    let second = try SharedMemory(byteCount: 4096)
    try second.store32(2, at: 0)
    try rig.map(0x1000, second, .read)
    #expect(try window.load32(at: 0) == 2)
    #expect(failure { () throws(DMAError) in try window.store32(3, at: 0) } == .notPermitted)
    #expect(
      failure { () throws(DMAError) in try window.store16Bytes(0, 0, at: 0) } == .notPermitted)
    rig.engine.isEnabled = false
    #expect(failure { () throws(DMAError) in try window.load32(at: 0) } == .disabled)
    rig.engine.isEnabled = true
    #expect(try window.load32(at: 0) == 2)
  }

  @Test("E4: a window that two grants hold, and one that the client serves, work all the same")
  func unmapped() throws {
    let rig = try MemoryRig()
    let memory = try SharedMemory(byteCount: 8192)
    try rig.map(0x1000, memory, byteCount: 4096)
    try rig.map(0x2000, memory, byteCount: 4096, offset: 4096)
    let across = try rig.window(0x1fc0, 128)
    #expect(!across.isMapped)
    try memory.write(at: 4096 - 32, from: Self.entry.rawSpan)
    #expect(try across.load64Bytes(at: 32)[7] == 0x3f3e_3d3c_3b3a_3938)
    try across.store16Bytes(1, 2, at: 56)
    #expect(try memory.load32(at: 4088) == 1)
    #expect(try memory.load32(at: 4096) == 2)

    try rig.mapMessages(0x8000, 4096)
    let served = try rig.window(0x8000, 4096)
    rig.client.memory.replaceSubrange(0x8040..<0x8080, with: Self.entry)
    #expect(try served.load64Bytes(at: 64)[0] == 0x0706_0504_0302_0100)
    #expect(rig.client.requests == 1, "one message for one entry")
    try served.store16Bytes(0x11, 0x22, at: 0)
    #expect(rig.client.memory[0x8000] == 0x11 && rig.client.memory[0x8008] == 0x22)
    #expect(!served.isMapped)
  }

  @Test("E4: memory that the client takes away fails the access that meets it, and later ones")
  func lost() throws {
    try BusErrorGuard.install()
    let rig = try MemoryRig()
    var template = Array("/tmp/vfio-user-shrink-XXXXXX".utf8CString)
    let file = mkstemp(&template)
    unlink(template)
    defer { close(file) }
    #expect(ftruncate(file, 8192) == 0)
    let range = try #require(DMARange(address: DMAAddress(0), byteCount: 8192))
    let other = try SharedMemory(byteCount: 4096)
    try rig.map(0x10000, other)
    rig.engine.invalidate()
    try rig.table.insert(
      DMAMapping(
        range, rights: [.read, .write], file: OwnedDescriptor(adopting: dup(file)), offset: 0))
    let window = try rig.window(0, 8192)
    let intact = try rig.window(0x10000, 4096)
    let list = DMAScatterList(rig.engine)
    try list.append(DMAAddress(0), 8192, [.read, .write])
    #expect(try window.load32(at: 4096) == 0)
    #expect(list.isMapped)
    #expect(ftruncate(file, 4096) == 0)
    #expect(failure { () throws(DMAError) in try window.load32(at: 4096) } == .lost)
    #expect(failure { () throws(DMAError) in try window.load64Bytes(at: 4096) } == .lost)
    #expect(failure { () throws(DMAError) in try window.store16Bytes(1, 2, at: 4096) } == .lost)
    #expect(!list.isMapped)
    #expect(failure { () throws(DMAError) in try list.fill() } == .lost)
    #expect(try intact.load32(at: 0) == 0)
    try intact.store16Bytes(1, 2, at: 0)
  }
}
