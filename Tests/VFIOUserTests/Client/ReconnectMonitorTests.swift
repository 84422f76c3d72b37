import Synchronization
import Testing

@testable import VFIOUser

/// What a monitor asks of a client that outlives its server: calls that do not wait, and a say in what a new
/// server is told.
@Suite("A monitor's connection across a loss") struct ReconnectMonitorTests {
  private static var hasty: ReconnectPolicy {
    var policy = ReconnectPolicy.quick
    policy.callsWait = false
    return policy
  }

  @Test("V12: calls that do not wait fail unsent while the server is away, and their caller waits")
  func hasty() throws {
    let first = try LiveServer()
    let rig = ReconnectRig(.path(first.path))
    let client = try rig.connect(Self.hasty, timeout: .seconds(600))
    let region = try client.region(at: 0)
    client.waitWhileAway(atMost: .seconds(600))
    rig.set(.nothing)
    first.stop()
    #expect(rig.waitsForLoss())
    #expect(client.isAway && client.connection == nil)
    let calls: [() throws -> Void] = [
      { try region.write(UInt32(1), at: RegionOffset(0)) },
      { _ = try region.read(at: RegionOffset(0), as: UInt8.self) },
      { try region.post(UInt32(1), at: RegionOffset(0)) }, { try client.reset() },
    ]
    for call in calls {
      let error = clientError(call)
      #expect(error?.code == .away && error?.mayHaveReachedServer == false)
    }
    client.waitWhileAway(atMost: .milliseconds(1))
    #expect(client.isAway)
    let second = try LiveServer()
    rig.set(.path(second.path))
    client.waitWhileAway(atMost: .seconds(20))
    #expect(client.isConnected)
    try region.write(UInt32(3), at: RegionOffset(0))
    try second.onLoop { #expect($0.memory.writeCount == 1) }
    client.close()
    client.waitWhileAway(atMost: .seconds(600))
    #expect(!client.isAway)
  }

  @Test("V12: where silence ends a connection, a server that stalls is replaced after one time-out")
  func silence() throws {
    let rig = ReconnectRig(
      .scripts([
        { end in
          _ = try end.serve(until: .regionWrite)
          _ = try? end.next(timeout: .seconds(20))
        },
        { end in _ = try end.serve(until: nil, timeout: .seconds(20)) },
      ]))
    var policy = Self.hasty
    policy.endsSilentConnections = true
    let client = try rig.connect(policy, timeout: .seconds(2))
    let region = try client.region(at: 0)
    let error = clientError { try region.write(UInt32(1), at: RegionOffset(0)) }
    #expect(error?.code == .interruptedByReconnect)
    #expect(rig.waitsForRestorations())
    #expect(rig.events.first == .lost(.late))
    #expect(try region.read(at: RegionOffset(0), as: UInt8.self) == 0x5a)
    client.close()
    rig.join()
  }

  @Test("V12: each later server is told what the caller adds, before any call, until that succeeds")
  func restoring() throws {
    let servers = try (0..<3).map { _ in try LiveServer() }
    let rig = ReconnectRig(.path(servers[0].path))
    let attempts = Mutex(0)
    let client = try rig.connect(
      restoring: { session throws(ClientError) in
        let number = attempts.withLock { value in
          value += 1
          return value
        }
        try session.region(at: 0).write(UInt32(0x77), at: RegionOffset(8))
        if number == 1 { throw ClientError(.rejected, .ioError, "once more") }
      })
    let region = try client.region(at: 0)
    #expect(try region.read(at: RegionOffset(8), as: UInt32.self) == 0)
    rig.set(.path(servers[1].path))
    servers[0].stop()
    #expect(rig.waitsForRestorations())
    #expect(attempts.withLock { $0 } == 2)
    #expect(try region.read(at: RegionOffset(8), as: UInt32.self) == 0x77)
    rig.set(.path(servers[2].path))
    servers[1].stop()
    #expect(rig.waitsForRestorations(2))
    #expect(attempts.withLock { $0 } == 3)
    #expect(try region.read(at: RegionOffset(8), as: UInt32.self) == 0x77)
  }

  @Test("V12: a caller that finds another device ends the search")
  func refusing() throws {
    let servers = try (0..<2).map { _ in try LiveServer() }
    let rig = ReconnectRig(.path(servers[0].path))
    let client = try rig.connect(
      restoring: { _ throws(ClientError) in
        throw ClientError(.deviceChanged, .operationNotSupportedByDevice, "not this one")
      })
    rig.set(.path(servers[1].path))
    servers[0].stop()
    #expect(rig.waitsForTheEnd()?.code == .deviceChanged)
    #expect(client.failure?.code == .deviceChanged)
  }

  @Test("V12: a region without side effects of reads has them repeated; writes never are")
  func repeating() throws {
    let rig = ReconnectRig(
      .scripts([
        { end in _ = try end.serve(until: .regionRead) },
        { end in _ = try end.serve(until: .regionWrite) },
        { end in _ = try end.serve(until: nil, timeout: .seconds(20)) },
      ]))
    let client = try rig.connect()
    let region = try client.region(at: 0)
    #expect(!region.isRepeatable(at: RegionOffset(0), byteCount: 4))
    let repeating = region.withoutMappings.repeatingReads
    #expect(repeating.isRepeatable(at: RegionOffset(0), byteCount: 4))
    #expect(try repeating.read(at: RegionOffset(0), as: UInt8.self) == 0x5a)
    let error = clientError { try repeating.write(UInt8(1), at: RegionOffset(0)) }
    #expect(error?.code == .interruptedByReconnect)
    #expect(rig.waitsForRestorations(2))
    client.close()
    rig.join()
  }
}
