import DeviceModel
import DeviceProgram
import EmulatedDevices
import Glibc
import Synchronization
import Testing
import VFIOUser

/// Device processes that are killed, and a client that goes on with the next one.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ReconnectTests {
  /// A client of `edu` and the process that it talks to now.
  final class Rig {
    let folder = TemporaryFolder()
    var program: Program
    let client: ReconnectingClient
    let registers: ReconnectingRegion
    let losses: Counter
    let restorations: Counter

    final class Counter: Sendable {
      let value = Atomic<Int>(0)
      func add() { value.wrappingAdd(1, ordering: .releasing) }

      /// Waits until there are `count`, at most a minute.
      func reaches(_ count: Int) -> Bool {
        for _ in 0..<12_000 {
          if value.load(ordering: .acquiring) >= count { return true }
          usleep(5000)
        }
        return false
      }
    }

    init(policy: ReconnectPolicy = .reconnect(within: .seconds(60))) throws {
      let server = try Server(in: folder)
      program = server.program
      let losses = Counter()
      let restorations = Counter()
      self.losses = losses
      self.restorations = restorations
      var options = ClientOptions()
      options.timeout = .seconds(60)
      client = try ReconnectingClient.connect(
        path: server.path, options: options, policy: policy
      ) {
        switch $0 {
        case .lost: losses.add()
        case .restored: restorations.add()
        default: break
        }
      }
      registers = try client.region(at: 0)
      try enable()
    }

    /// Memory space and bus master, as a driver does for a device that was reset.
    func enable() throws {
      try client.region(at: 7).write(UInt16(6), at: RegionOffset(4))
    }

    func kill() {
      #expect(program.end(SIGKILL) == .killed(SIGKILL))
    }

    func startAgain() throws {
      // A killed program leaves its socket's file behind, where nobody listens.
      let count = restorations.value.load(ordering: .acquiring)
      program = try Program(
        "vfio-user", ["serve", "edu", "--socket-path", folder / "socket"], in: folder)
      #expect(restorations.reaches(count + 1))
      try enable()
    }

    func read(_ register: EduRegister) throws -> UInt32 {
      try registers.read(at: RegionOffset(UInt64(register.declaration.offset)))
    }

    func write(_ value: some FixedWidthInteger, to register: EduRegister) throws {
      try registers.write(value, at: RegionOffset(UInt64(register.declaration.offset)))
    }

    /// Has the device move bytes, and waits; polling also answers its accesses by message.
    func transfer(
      from source: UInt64, to target: UInt64, _ byteCount: Int, _ command: UInt64
    ) throws {
      try write(source, to: .dmaSource)
      try write(target, to: .dmaDestination)
      try write(UInt64(byteCount), to: .dmaCount)
      try write(command | 1, to: .dmaCommand)
      for _ in 0..<60_000 {
        let state: UInt64 = try registers.read(
          at: RegionOffset(UInt64(EduRegister.dmaCommand.declaration.offset)))
        if state & 1 == 0 { return }
        usleep(1000)
      }
      Issue.record("the transfer does not end")
    }
  }

  @Test("V12: kill -9 is noticed without a call, and everything works with the next process")
  func killed() throws {
    let rig = try Rig()
    let line = try rig.client.enableInterrupts(index: 0, count: 1)[0]
    let shared = try SharedMemory(byteCount: 8192)
    let hidden = PrivateMemory(byteCount: 8192)
    try rig.client.mapMemory(shared, at: DMAAddress(0x10_0000))
    try rig.client.mapPrivateMemory(hidden, at: DMAAddress(0x20_0000))
    let data = (0..<4096).map { UInt8(truncatingIfNeeded: $0 * 7) }
    try shared.write(at: 0, from: data.rawSpan)
    for round in 1...4 {
      rig.kill()
      #expect(rig.losses.reaches(round))
      #expect(!rig.client.isConnected && rig.client.failure == nil)
      try rig.startAgain()
      while line.consume() != nil {}
      // The new process has the memory: from the one range through the device to the other.
      try rig.transfer(from: 0x10_0000, to: 0x40000, 4096, 0)
      try rig.transfer(from: 0x40000, to: 0x20_0000, 4096, 2)
      #expect(try hidden.contents(byteCount: 4096) == data)
      try hidden.write(at: 0, from: [UInt8](repeating: 0, count: 4096).rawSpan)
      // And the eventfd.
      try rig.client.unmaskInterrupts(index: 0)
      while line.consume() != nil {}
      try rig.write(UInt32(4), to: .interruptRaise)
      #expect(line.wait(timeout: .seconds(60)) != nil)
      #expect(try rig.read(.interruptStatus) == 4)
      try rig.write(UInt32(4), to: .interruptAcknowledge)
      try rig.client.unmaskInterrupts(index: 0)
    }
    rig.client.close()
  }

  @Test("V12: threads under load go on through a loop of kill -9, and every failure is clear")
  func underLoad() throws {
    var policy = ReconnectPolicy.reconnect(within: .seconds(60))
    policy.repeatableReads = [
      RepeatableReads(region: 0, offset: RegionOffset(0), byteCount: 8)
    ]
    let rig = try Rig(policy: policy)
    let done = Rig.Counter()
    let interrupted = Rig.Counter()
    let stops = Atomic<Bool>(false)
    let registers = rig.registers
    let identification = RegionOffset(0)
    let liveness = RegionOffset(4)
    let threads = (0..<4).map { number in
      LoadThread {
        while !stops.load(ordering: .acquiring) {
          do {
            // Declared repeatable: a loss is not seen at all.
            let identity: UInt32 = try registers.read(at: identification)
            #expect(identity == 0x0100_00ed)
          } catch { Issue.record("a repeatable read failed: \(error)") }
          do throws(ClientError) {
            if number == 0 { try registers.write(UInt32(1), at: liveness) }
            if number == 1 { try registers.post(UInt32(1), at: liveness) }
          } catch {
            #expect(error.code == .interruptedByReconnect, "\(error)")
            interrupted.add()
          }
          done.add()
        }
      }
    }
    for _ in 0..<6 {
      #expect(done.reaches(done.value.load(ordering: .acquiring) + 100))
      rig.kill()
      try rig.startAgain()
    }
    stops.store(true, ordering: .releasing)
    for thread in threads { thread.join() }
    #expect(rig.client.failure == nil)
    rig.client.close()
  }

  @Test("V12: a stopped process costs a call its time-out; killed and started anew it is made good")
  func stopped() throws {
    let rig = try Rig()
    rig.program.process.send(SIGSTOP)
    #expect {
      try rig.client.reset(timeout: .milliseconds(200))
    } throws: {
      ($0 as? ClientError)?.code == .timedOut
    }
    #expect(rig.client.isConnected)
    rig.kill()
    #expect(rig.losses.reaches(1))
    try rig.startAgain()
    try rig.write(UInt32(0x1234_5678), to: .liveness)
    #expect(try rig.read(.liveness) == 0xedcb_a987)
    rig.client.close()
  }

  @Test("V12: another device on the same socket is refused")
  func otherDevice() throws {
    let rig = try Rig()
    rig.kill()
    #expect(rig.losses.reaches(1))
    let other = try Program(
      "vfio-user", ["serve", "gpio", "--socket-path", rig.folder / "socket"], in: rig.folder)
    var code: ClientError.Code?
    for _ in 0..<12_000 where code == nil {
      code = rig.client.failure?.code
      usleep(5000)
    }
    #expect(code == .deviceChanged)
    other.end()
  }
}

/// A thread of a test.
private final class LoadThread {
  private var thread = pthread_t()

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  init(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Body(body))
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    precondition(result == 0, "no thread for a test")
  }

  func join() { pthread_join(thread, nil) }
}
