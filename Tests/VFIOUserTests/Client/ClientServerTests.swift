import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// The client and the server of this package, on a socket between two threads.
@Suite("Client and server") struct ClientServerTests {
  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  static var pattern: [UInt8] {
    (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
  }

  @Test("E1: what is written with any width reads back", arguments: PollingMode.allCases)
  func words(polling: PollingMode) throws {
    let server = try LiveServer(polling: polling == .always ? .adaptive : polling)
    let client = try server.connect { $0.polling = polling }
    #expect(client.deviceInfo.regionCount == 8)
    let region = try client.region(at: 0)
    try region.write(UInt8(0x11), at: RegionOffset(1))
    try region.write(UInt16(0x3322), at: RegionOffset(2))
    try region.write(UInt32(0x7766_5544), at: RegionOffset(4))
    try region.write(UInt64(0xffee_ddcc_bbaa_9988), at: RegionOffset(8))
    #expect(try region.read(at: RegionOffset(1), as: UInt8.self) == 0x11)
    #expect(try region.read(at: RegionOffset(2), as: UInt16.self) == 0x3322)
    #expect(try region.read(at: RegionOffset(4), as: UInt32.self) == 0x7766_5544)
    #expect(try region.read(at: RegionOffset(8), as: UInt64.self) == 0xffee_ddcc_bbaa_9988)
    let failing = try client.region(at: 5)
    let error = clientError { _ = try failing.read(at: RegionOffset(0), as: UInt8.self) }
    #expect(error == ClientError(.rejected, .noSuchAddressOrDevice, ""))
  }

  @Test("E2, V8: a storm of posted writes is done before the next read returns")
  func posted() throws {
    let server = try LiveServer()
    let region = try server.connect().region(at: 0)
    for value in 0..<20_000 { try region.post(UInt32(value), at: RegionOffset(0)) }
    #expect(try region.read(at: RegionOffset(0), as: UInt32.self) == 19_999)
    try server.onLoop { #expect($0.memory.writeCount == 20_000) }
  }

  @Test("E3: a store to a mapped page is seen by the device without a message")
  func mapped() throws {
    let server = try LiveServer()
    let client = try server.connect()
    let region = try client.region(at: 4)
    #expect(region.mappedAreas.map(\.offset.rawValue) == [4096, 12288])
    try region.write(UInt32(0x55), at: RegionOffset(4096))
    try server.onLoop { device in
      let value = try device.shared.load32(at: 4096)
      #expect(value == 0x55)
    }
    // By message into the same memory, and back through the mapping.
    let messages = try server.connectRefused()
    #expect(messages == ClientError(.rejected, .resourceBusy, ""))
  }

  @Test(
    "E4: checksums are equal by mapping and by message, with and without a twin socket",
    arguments: [false, true], [false, true])
  func dma(isShared: Bool, hasTwin: Bool) throws {
    let server = try LiveServer()
    let client = try server.connect { $0.offersTwinSocket = hasTwin }
    #expect(client.hasTwinSocket == hasTwin)
    let data = Self.pattern
    let address = DMAAddress(0x10_0000)
    let shared = try SharedMemory(byteCount: 131_072)
    let hidden = PrivateMemory(byteCount: 131_072)
    let memory: any ClientMemory = isShared ? shared : hidden
    try memory.write(at: 17, from: data.rawSpan)
    if isShared {
      try client.mapMemory(shared, at: address)
    } else {
      try client.mapPrivateMemory(hidden, at: address)
    }
    // The device reads the data and writes it back elsewhere, while this thread serves.
    let isDone = DoneFlag()
    try server.onLoop { device in
      guard let dma = device.services?.dma else { return }
      dma.read(at: DMAAddress(0x10_0011), byteCount: data.count) { result in
        guard case .success(let bytes) = result else {
          Issue.record("the device's read failed: \(result)")
          return isDone.set()
        }
        #expect(Self.checksum(bytes) == Self.checksum(data))
        dma.write(at: DMAAddress(0x10_0000), bytes: bytes) { written in
          if case .failure(let error) = written { Issue.record("\(error)") }
          isDone.set()
        }
      }
    }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while !isDone.isSet, MonotonicTime.now < deadline {
      try client.serve(timeout: .milliseconds(5))
    }
    var copy = [UInt8](repeating: 0, count: data.count)
    try copy.withMutableRawSpan { span throws(Errno) in try memory.read(at: 0, into: &span) }
    #expect(Self.checksum(copy) == Self.checksum(data))
    try client.unmapMemory(at: address, byteCount: 131_072)
    try server.onLoop { device in
      guard let dma = device.services?.dma else { return }
      #expect(throws: DMAError.self) { _ = try dma.load(at: address) as UInt32 }
    }
  }

  @Test("V9: DMA by message crosses region accesses, one thread on each side, and never hangs")
  func crossing() throws {
    let server = try LiveServer()
    let client = try server.connect()
    let memory = PrivateMemory(byteCount: 1 << 20)
    try client.mapPrivateMemory(memory, at: DMAAddress(0))
    let region = try client.region(at: 0)
    let block = [UInt8](repeating: 1, count: 4096)
    let isDone = DoneFlag()
    try server.onLoop { device in
      guard let dma = device.services?.dma else { return }
      var left = 40
      for _ in 0..<left {
        dma.read(at: DMAAddress(0), byteCount: 1 << 20) { result in
          if case .failure(let error) = result { Issue.record("\(error)") }
          left -= 1
          if left == 0 { isDone.set() }
        }
      }
    }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while !isDone.isSet, MonotonicTime.now < deadline {
      try region.post(at: RegionOffset(0), from: block.rawSpan)
      try region.write(at: RegionOffset(0), from: block.rawSpan)
    }
    #expect(isDone.isSet)
  }

  @Test("E6: interrupts arrive, are held back while masked, and come when unmasked")
  func interrupts() throws {
    let server = try LiveServer()
    let client = try server.connect()
    #expect(try client.interruptInfo(index: 2).count == 8)
    let vectors = try client.enableInterrupts(index: 2, count: 8)
    try server.onLoop { $0.services?.interrupts[2].raise(3) }
    #expect(vectors[3].wait(timeout: .seconds(60)) == 1)
    try client.maskInterrupts(index: 2, start: 3)
    try server.onLoop { $0.services?.interrupts[2].raise(3) }
    #expect(vectors[3].consume() == nil)
    try client.unmaskInterrupts(index: 2, start: 3)
    #expect(vectors[3].wait(timeout: .seconds(60)) == 1)
    try client.triggerInterrupts(index: 2, start: 5)
    #expect(vectors[5].wait(timeout: .seconds(60)) == 1)
    try client.disableInterrupts(index: 2)
    try server.onLoop { $0.services?.interrupts[2].raise(0) }
    #expect(vectors[0].consume() == nil)
  }

  @Test("E6: a level-triggered interrupt comes again on resample while its level is up")
  func resample() throws {
    let server = try LiveServer()
    let client = try server.connect()
    let line = try client.enableInterrupts(index: 0, count: 1)
    let resample = try client.enableResample(index: 0)
    try server.onLoop { $0.services?.interrupts[0].setLevel(true) }
    #expect(line[0].wait(timeout: .seconds(60)) != nil)
    #expect(line[0].consume() == nil)
    resample[0].signal()
    #expect(line[0].wait(timeout: .seconds(60)) != nil)
    try server.onLoop { $0.services?.interrupts[0].setLevel(false) }
    resample[0].signal()
    #expect(line[0].wait(timeout: .milliseconds(50)) == nil)
  }

  @Test("V11: a client that goes away leaves the device's state to the next one")
  func reconnect() throws {
    let server = try LiveServer()
    do {
      let client = try server.connect()
      try client.region(at: 0).write(UInt32(0xcafe), at: RegionOffset(0))
      try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0))
      client.close()
    }
    var next: DeviceClient?
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while next == nil, MonotonicTime.now < deadline { next = try? server.connect() }
    let client = try #require(next)
    #expect(try client.region(at: 0).read(at: RegionOffset(0), as: UInt32.self) == 0xcafe)
    // The grant went with its client.
    try client.mapPrivateMemory(PrivateMemory(byteCount: 4096), at: DMAAddress(0))
    try client.reset()
    try server.onLoop { #expect($0.events.contains("reset device")) }
  }

  @Test("Several writes in one message reach their regions in order")
  func multiple() throws {
    let server = try LiveServer()
    let client = try server.connect()
    try client.writeMultiple(
      (0..<100).map {
        RegionWriteMulti.Entry(offset: RegionOffset(8 * $0), region: 0, count: 8, data: $0)
      })
    let region = try client.region(at: 0)
    #expect(try region.read(at: RegionOffset(8 * 99), as: UInt64.self) == 99)
  }

  @Test("V12: a server that dies ends each call at once")
  func serverDies() throws {
    let server = try LiveServer()
    let client = try server.connect()
    server.stop()
    // Not by its time-out.
    #expect(clientError { try client.reset() }?.code == .disconnected)
    #expect(!client.isConnected)
  }

  @Test("Pipelined reads by several threads get their own data")
  func threads() throws {
    let server = try LiveServer()
    let client = try server.connect()
    let region = try client.region(at: 0)
    for index in 0..<512 { try region.post(UInt64(index), at: RegionOffset(UInt64(8 * index))) }
    let errors = DoneFlag()
    do {
      let threads = (0..<4).map { number in
        TestThread {
          do {
            for turn in 0..<50 {
              let indices = (0..<16).map { (number * 100 + turn * 16 + $0) % 512 }
              let pending = try indices.map {
                try region.startRead(at: RegionOffset(UInt64(8 * $0)), byteCount: 8)
              }
              for (index, reply) in zip(indices, pending) {
                if try client.finishRead(reply) != UInt64(index) { errors.set() }
              }
            }
          } catch { errors.set() }
        }
      }
      for thread in threads { thread.join() }
    }
    #expect(!errors.isSet)
  }
}

/// A flag that another thread sets.
final class DoneFlag: @unchecked Sendable {
  private let lock = ConditionLock()
  private var value = false

  var isSet: Bool { lock.withLock { value } }

  func set() { lock.withLock { value = true } }
}

extension LiveServer {
  /// The error that a second client meets while the first one is served.
  func connectRefused() throws -> ClientError? {
    clientError { _ = try connect() }
  }
}
