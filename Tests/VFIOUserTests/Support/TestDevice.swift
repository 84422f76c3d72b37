import Logging

@testable import VFIOUser

/// A device of no bus that records what happens to it. Its regions:
/// 0 memory of 4096 bytes; 1 absent; 2 answers when the test says so; 3 read-only memory;
/// 4 mappable memory with two areas; 5 fails with ENXIO; 6 memory, whose first 32 bytes and next 32 are on
/// another loop if there is one, and the last 64 on the device's; 7 write-only.
///
/// Its interrupt types: 0 a line; 1 without vectors; 2 eight vectors; 3 one that cannot be masked; 4
/// one without eventfds.
final class TestDevice: ServedDevice {
  let memory = MemoryRegion(byteCount: 4096)
  let slow = SlowRegion()
  let readOnly = MemoryRegion(byteCount: 256)
  let shared: SharedMemory
  let remote = MemoryRegion(byteCount: 32)
  let remoteToo = MemoryRegion(byteCount: 32)
  let besideRemote = MemoryRegion(byteCount: 64)
  let remoteLoop: EventLoop?
  var events: [String] = []
  var services: DeviceServices?
  /// When set, `quiesce` answers "not yet" and puts its completion here.
  var holdsQuiesce = false
  var quiesceCompletion: QuiesceCompletion?
  var flags: DeviceFlags = [.reset]

  init(remoteLoop: EventLoop? = nil) throws {
    shared = try SharedMemory(byteCount: 16384)
    self.remoteLoop = remoteLoop
  }

  var layout: DeviceLayout {
    let areas = [
      RegionArea(offset: RegionOffset(4096), byteCount: 4096),
      RegionArea(offset: RegionOffset(12288), byteCount: 4096),
    ]
    return DeviceLayout(
      flags: flags,
      regions: [
        RegionLayout(byteCount: 4096, rights: [.read, .write]),
        .absent,
        RegionLayout(byteCount: 64, rights: [.read, .write]),
        RegionLayout(byteCount: 256, rights: .read),
        RegionLayout(
          byteCount: 16384, rights: [.read, .write],
          mapping: RegionMapping(memory: shared, areas: areas)),
        RegionLayout(byteCount: 16, rights: [.read, .write]),
        RegionLayout(byteCount: 128, rights: [.read, .write]),
        RegionLayout(byteCount: 64, rights: .write),
      ],
      interrupts: [
        InterruptLayout(count: 1, flags: [.eventfd, .maskable, .automasked]),
        InterruptLayout(count: 0, flags: [.eventfd]),
        InterruptLayout(count: 8, flags: [.eventfd, .maskable]),
        InterruptLayout(count: 1, flags: [.eventfd]),
        InterruptLayout(count: 1, flags: [.maskable]),
      ])
  }

  func region(at index: Int) -> Region? {
    switch index {
    case 0: try? Region(byteCount: 4096, handler: memory)
    case 2: try? Region(byteCount: 64, handler: slow)
    case 3: try? Region(byteCount: 256, handler: readOnly)
    case 4: try? Region(byteCount: 16384, handler: SharedRegion(shared))
    case 5: try? Region(byteCount: 16, handler: FailingRegion())
    case 6:
      try? Region(
        byteCount: 128,
        ranges: [
          RegionRange(
            offset: RegionOffset(0), byteCount: 32, handler: remote, loop: remoteLoop),
          RegionRange(
            offset: RegionOffset(32), byteCount: 32, handler: remoteToo, loop: remoteLoop),
          RegionRange(offset: RegionOffset(64), byteCount: 64, handler: besideRemote),
        ])
    case 7: try? Region(byteCount: 64, handler: MemoryRegion(byteCount: 64))
    default: nil
    }
  }

  func start(_ services: DeviceServices) { self.services = services }
  func clientConnected() { events.append("connected") }
  func clientDisconnected() { events.append("disconnected") }
  func reset(_ kind: ResetKind) { events.append("reset \(kind)") }
  func memoryMapped(_ range: DMARange) { events.append("mapped \(range)") }
  func memoryUnmapped(_ range: DMARange) { events.append("unmapped \(range)") }
  func resume() {}

  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    guard holdsQuiesce else { return .done }
    quiesceCompletion = completion
    return .notYet
  }
}

/// Plain memory.
final class MemoryRegion: RegionHandler {
  var bytes: [UInt8]
  var writeCount = 0

  init(byteCount: Int) { bytes = [UInt8](repeating: 0, count: byteCount) }

  func read(
    at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    for index in 0..<target.byteCount {
      try? target.store(bytes[Int(offset.rawValue) + index], at: index)
    }
  }

  func write(
    at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    writeCount += 1
    for index in 0..<source.byteCount {
      bytes[Int(offset.rawValue) + index] = (try? source.load(at: index)) ?? 0
    }
  }
}

/// Defers every access until the test completes it.
final class SlowRegion: RegionHandler {
  var replies: [DeferredReply] = []
  var posted = 0
  /// The context of the last access, kept beyond its handler, which no handler should do.
  var kept: AccessContext?
  var keepsContext = false
  /// Whether its accesses say that they ask for the reset themselves.
  var asksForReset = false

  func read(
    at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    if keepsContext { kept = access }
    if let reply = access.deferReply() { replies.append(reply) }
  }

  func write(
    at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    let reply = asksForReset ? access.deferReplyAcrossReset() : access.deferReply()
    if let reply { replies.append(reply) } else { posted += 1 }
  }
}

/// Device memory that the client may also map.
final class SharedRegion: RegionHandler {
  let memory: SharedMemory
  init(_ memory: SharedMemory) { self.memory = memory }

  func read(
    at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) { try memory.read(at: Int(offset.rawValue), into: &target) }

  func write(
    at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
  ) throws(Errno) { try memory.write(at: Int(offset.rawValue), from: source) }
}

/// Answers every access with `ENXIO`.
final class FailingRegion: RegionHandler {
  func read(
    at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) { throw .noSuchAddressOrDevice }

  func write(
    at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
  ) throws(Errno) { throw .noSuchAddressOrDevice }
}
