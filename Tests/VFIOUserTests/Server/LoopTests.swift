import Synchronization
import Testing

@testable import VFIOUser

/// Registers on loops of their own, with real threads.
@Suite("Several loops", .serialized) struct LoopTests {
  /// Two loops that run, a device on them, a server, and a client with memory of its own.
  private final class Machine {
    let loops: [EventLoop]
    private let threads: [TestThread]
    let shared = LoadDevice.Shared()
    let server: ServerThread
    let client: WaitingPeer
    let memory: SharedMemory

    init() throws {
      let loops = [try EventLoop(polling: .never), try EventLoop(polling: .never)]
      self.loops = loops
      threads = loops.map { loop in TestThread { try? loop.run() } }
      server = try ServerThread { [shared] _ in LoadDevice(loops: loops, shared: shared) }
      client = try WaitingPeer(path: server.path)
      memory = try SharedMemory(byteCount: 8192)
      try client.negotiate()
      #expect(try map() == nil)
    }

    func map() throws -> Errno? {
      let request = DMAMapRequest(
        rights: [.read, .write], address: DMAAddress(0), byteCount: 4096)
      return try client.call(request, descriptors: [memory.rawDescriptor]).header.failure
    }

    func unmap() throws -> Errno? {
      try client.call(DMAUnmapRequest(address: DMAAddress(0), byteCount: 4096)).header.failure
    }

    func stop() {
      server.stop()
      for loop in loops { loop.stop() }
      for thread in threads { thread.join() }
    }
  }

  @Test("E9: resets under load on two loops: every access is answered, none runs while it is quiet")
  func resetUnderLoad() throws {
    let machine = try Machine()
    defer { machine.stop() }
    var resets = 0
    for round in 0..<150 {
      var waiting: Set<UInt16> = []
      for index in 0..<20 {
        let offset = UInt64(64 * (index % 2) + 8 * (index % 7))
        waiting.insert(
          try machine.client.peer.send(.regionWrite, TestPeer.writePayload(0, offset, [1])))
        if index == round % 20 {
          waiting.insert(try machine.client.peer.send(.deviceReset))
          resets += 1
        }
      }
      while !waiting.isEmpty {
        let reply = try #require(try machine.client.next(), "a reply is missing")
        #expect(waiting.remove(reply.header.messageID) != nil, "answered twice")
        let failure = reply.header.failure
        #expect(failure == nil || failure == .canceled)
      }
    }
    #expect(machine.shared.resets.load(ordering: .relaxed) == resets)
    #expect(machine.shared.intrusions.load(ordering: .relaxed) == 0)
    #expect(machine.shared.increments.load(ordering: .relaxed) == 150 * 20)
  }

  @Test(
    "E5: after the reply to an unmap no loop reaches the memory, and a new grant reaches them all")
  func unmapAcrossLoops() throws {
    let machine = try Machine()
    defer { machine.stop() }
    func increment(_ offset: UInt64) throws -> Errno? {
      try machine.client.call(.regionWrite, TestPeer.writePayload(0, offset, [1])).header.failure
    }
    for round in UInt32(1)...100 {
      #expect(try increment(0) == nil)
      #expect(try increment(64) == nil)
      // Writes are under way on both loops when the grant is taken back.
      for _ in 0..<4 {
        try machine.client.peer.send(
          .regionWrite, TestPeer.writePayload(0, 8, [1]), flags: .noReply)
        try machine.client.peer.send(
          .regionWrite, TestPeer.writePayload(0, 72, [1]), flags: .noReply)
      }
      #expect(try machine.unmap() == nil)
      var bytes = [UInt8](repeating: 0, count: 4096)
      try bytes.withMutableRawSpan { try machine.memory.read(at: 0, into: &$0) }
      #expect(try increment(0) == .badAddress)
      #expect(try increment(64) == .badAddress)
      var after = bytes
      try after.withMutableRawSpan { try machine.memory.read(at: 0, into: &$0) }
      #expect(after == bytes)
      #expect(try bytes.rawSpan.load(at: 0, as: UInt32.self) == round)
      #expect(try bytes.rawSpan.load(at: 512, as: UInt32.self) == round)
      #expect(try machine.map() == nil)
    }
  }

  @Test("V11: clients come and go under load on two loops, and the device is whole")
  func disconnectUnderLoad() throws {
    let machine = try Machine()
    defer { machine.stop() }
    #expect(try machine.unmap() == nil)
    machine.client.peer.channel.shutDown()
    for _ in 0..<60 {
      let client = try WaitingPeer(path: machine.server.path)
      try client.negotiate()
      let request = DMAMapRequest(
        rights: [.read, .write], address: DMAAddress(0), byteCount: 4096)
      #expect(
        try client.call(request, descriptors: [machine.memory.rawDescriptor]).header.failure == nil)
      for index in 0..<30 {
        try client.peer.send(.regionWrite, TestPeer.writePayload(0, UInt64(index % 2 * 64), [1]))
      }
    }
    let last = try WaitingPeer(path: machine.server.path)
    try last.negotiate()
    #expect(try last.read(0, 0, 1).count == 1)
    #expect(machine.shared.intrusions.load(ordering: .relaxed) == 0)
  }
}
