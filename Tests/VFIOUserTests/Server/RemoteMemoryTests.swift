import Synchronization
import Testing

@testable import VFIOUser

/// Memory that the client serves by messages, reached from a loop that is not the device's.
@Suite("Messages for other loops", .serialized) final class RemoteMemoryTests {
  private final class Results: Sendable {
    let outcomes = Mutex<[Result<[UInt8], DMAError>]>([])
    func add(_ outcome: Result<[UInt8], DMAError>) { outcomes.withLock { $0.append(outcome) } }
    var first: Result<[UInt8], DMAError>? { outcomes.withLock { $0.first } }
  }

  private static func code(_ outcome: Result<[UInt8], DMAError>?) -> DMAError.Code? {
    if case .failure(let error) = outcome { error.code } else { nil }
  }

  private let rig: TestRig
  private let thread: LoopThread
  private let engine: LoopConfined<DMAEngine>
  private let results = Results()

  convenience init() throws { try self.init(clientTimeout: .seconds(60)) }

  private init(clientTimeout: Duration) throws {
    var options = DeviceOptions()
    options.clientTimeout = clientTimeout
    rig = try TestRig(options: options)
    thread = try LoopThread(name: "remote", polling: .never)
    engine = LoopConfined(try #require(rig.device.services).makeDMAEngine(on: thread.loop))
    #expect(try rig.map(0x10000, 8192) == nil)
    // The other loop adopts the grant.
    let adopted = EventDescriptorBox(try EventDescriptor())
    thread.loop.post { adopted.event.signal() }
    #expect(adopted.event.wait(timeout: .seconds(60)) != nil)
    // The device's loop has an owner: what is handed to it is run by this thread.
    try rig.loop.runOnce(timeout: .zero)
  }

  /// The other loop lets go of the client's memory before it ends.
  deinit {
    rig.session.close()
    for _ in 0..<1000 where rig.host.isOccupied {
      try? rig.loop.runOnce(timeout: .milliseconds(10))
    }
    thread.end()
  }

  private func readBlocking() {
    let (engine, results) = (engine, results)
    thread.loop.post {
      var bytes = [UInt8](repeating: 0, count: 4)
      do throws(DMAError) {
        try bytes.withMutableRawSpan { (span) throws(DMAError) in
          try engine.value.read(at: DMAAddress(0x10100), into: &span)
        }
        results.add(.success(bytes))
      } catch { results.add(.failure(error)) }
    }
  }

  /// Works until a result is in, or the client gets a command, or the time is over.
  private func workUntil(_ isDone: () throws -> Bool) throws {
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    while try !isDone(), MonotonicTime.now < deadline {
      while rig.session.process() == .more {}
      try rig.loop.runOnce(timeout: .milliseconds(5))
    }
  }

  private func nextCommand() throws -> TestPeer.Message {
    var message: TestPeer.Message?
    try workUntil {
      message = try rig.peer.receive()
      return message != nil
    }
    return try #require(message)
  }

  @Test("E4: the blocking form gets the client's bytes while the device's loop goes on")
  func blocking() throws {
    readBlocking()
    let request = try nextCommand()
    #expect(request.header.command == .dmaRead)
    #expect(try rig.read(0, 0, 1) == [0], "the device answers meanwhile")
    try rig.peer.sendRaw(
      TestPeer.frame(
        .reply(to: request.header, payloadByteCount: 20), request.payload + [9, 8, 7, 6]))
    try workUntil { results.first != nil }
    #expect(try results.first?.get() == [9, 8, 7, 6])
  }

  @Test("E4: the completion form comes back on the loop that asked")
  func completion() throws {
    let (engine, results) = (engine, results)
    let loop = thread.loop
    loop.post {
      engine.value.write(at: DMAAddress(0x10100), bytes: [1, 2, 3]) { outcome in
        results.add(loop.isRunningHere ? outcome.map { [1] } : .success([]))
      }
    }
    let request = try nextCommand()
    #expect(request.header.command == .dmaWrite)
    #expect(request.payload.suffix(3) == [1, 2, 3])
    try rig.peer.sendRaw(TestPeer.frame(.reply(to: request.header), []))
    try workUntil { results.first != nil }
    #expect(try results.first?.get() == [1])
  }

  @Test("V9: an access in progress ends with cancelled when the client goes")
  func disconnect() throws {
    readBlocking()
    _ = try nextCommand()
    try rig.hangUp()
    try workUntil { results.first != nil }
    #expect(Self.code(results.first) == .cancelled)
  }

  @Test("V9: an access in progress ends with cancelled at a reset")
  func reset() throws {
    readBlocking()
    _ = try nextCommand()
    #expect(try rig.call(.deviceReset).header.failure == nil)
    try workUntil { results.first != nil }
    #expect(Self.code(results.first) == .cancelled)
  }

  @Test("V9: a client that does not answer in time fails both forms, on both loops")
  func timeLimit() throws {
    try RemoteMemoryTests(clientTimeout: .milliseconds(300)).runIntoTimeLimit()
  }

  private func runIntoTimeLimit() throws {
    let other = Results()
    try #require(rig.device.services).dma.read(at: DMAAddress(0x10000), byteCount: 4) {
      other.add($0)
    }
    readBlocking()
    _ = try nextCommand()
    let request = try nextCommand()
    try workUntil { results.first != nil && other.first != nil }
    #expect(Self.code(results.first) == .timedOut)
    #expect(Self.code(other.first) == .timedOut)
    // The late reply is ignored, and the session lives.
    try rig.peer.sendRaw(
      TestPeer.frame(
        .reply(to: request.header, payloadByteCount: 20), request.payload + [9, 8, 7, 6]))
    try rig.work()
    #expect(try rig.read(0, 0, 1) == [0])
  }

  @Test("E9: a wait ends when the threads are about to be joined, though nobody answers")
  func teardown() throws {
    readBlocking()
    _ = try nextCommand()
    try #require(rig.device.services).endRemoteAccess()
    let passed = EventDescriptorBox(try EventDescriptor())
    thread.loop.post { passed.event.signal() }
    #expect(passed.event.wait(timeout: .seconds(60)) != nil)
    #expect(Self.code(results.first) == .cancelled)
  }
}
