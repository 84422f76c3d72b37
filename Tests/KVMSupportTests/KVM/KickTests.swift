import CVFIOUserLinux
import KVMSupport
import Synchronization
import Testing
import VFIOUser

@Suite("Kicks", .onKVM, .timeLimit(.minutes(10)))
struct KickTests {
  @Test("A kick before the run ends it at once, and only it")
  func before() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    machine.cpus[0].kick()
    machine.cpus[0].kick()
    let seen = try SeenAccesses([.read(at: registers, byteCount: 4)], on: machine)
    #expect(seen.exits == [.interrupted, .memoryRead(registers, byteCount: 4)])
  }

  @Test("A kick wakes a CPU that sleeps in the kernel, and one that computes")
  func sleeping() throws {
    let machine = try AccessScriptMachine(kvm: KVM())
    let cpu = machine.cpus[0]
    for code in [[0xfb, 0xf4, 0xeb, 0xfc], [0xeb, 0xfe]] as [[UInt8]] {
      // sti; again: hlt; jmp again        or        again: jmp again
      try machine.memory.write(at: 0x8000, from: code.rawSpan)
      try cpu.set32BitFlatMode(entry: GuestAddress(0x8000), stack: GuestAddress(0x9000))
      for _ in 0..<20 {
        let runner = GuestThread { try? cpu.run() }
        usleep(2000)
        cpu.kick()
        #expect(runner.join() == .interrupted)
      }
    }
  }

  @Test("A kick between two elements of string I/O loses none of them")
  func midString() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    let script: [AccessOperation] = [
      .readString(port: 0x170, byteCount: 1, count: 100, buffer: GuestAddress(0x8000))
    ]
    var interruptions = 0
    var elements: UInt64 = 0
    let status = try machine.run(AccessScript(script)) { cpu, exit in
      switch exit {
      case .interrupted: interruptions += 1
      case .portRead:
        elements += 1
        cpu.complete(elements)
        cpu.kick()
      default: return false
      }
      return true
    }
    #expect(status == .done)
    #expect(elements == 100)
    #expect(interruptions == 100)
    var bytes = [UInt8](repeating: 0, count: 100)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try machine.memory.read(at: 0x8000, into: &raw)
    #expect(bytes == (1...100).map { UInt8($0) })
  }

  @Test("I14: in a storm of kicks each access is completed exactly once")
  func storm() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    let cpu = machine.cpus[0]
    let over = Flag()
    let begun = Flag()
    let kicker = GuestThread { () -> Int in
      var kicks = 0
      while !over.isSet {
        cpu.kick()
        kicks += 1
        begun.set()
        if kicks % 3 == 0 { usleep(20) }
      }
      return kicks
    }
    // The storm is there before the guest: one kick at least meets it.
    while !begun.isSet { usleep(100) }
    let count = 4000
    var reads: UInt64 = 0
    var written: [UInt64] = []
    var interruptions = 0
    let script: [AccessOperation] = [
      .read(at: registers, byteCount: 4, into: 0, count: UInt32(count)),
      .write(at: registers + 8, 1, byteCount: 4, count: UInt32(count), adding: 1),
      .read(.port, at: GuestAddress(0x500), byteCount: 2, into: count, count: UInt32(count)),
    ]
    let status = try machine.run(AccessScript(script)) { cpu, exit in
      switch exit {
      case .interrupted: interruptions += 1
      case .memoryRead, .portRead:
        reads += 1
        cpu.complete(reads)
      case .memoryWrite(_, let value, _): written.append(value)
      default: return false
      }
      return true
    }
    over.set()
    let kicks = kicker.join()
    #expect(status == .done)
    #expect(reads == UInt64(2 * count))
    #expect(try machine.results(2 * count) == (1...UInt64(2 * count)).map { $0 })
    #expect(written == (1...UInt64(count)).map { $0 })
    #expect(interruptions > 0)
    #expect(interruptions <= kicks)
  }

  @Test("I14: no kick is lost: each is answered by an interruption that comes after it")
  func noneLost() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    let cpu = machine.cpus[0]
    let answered = Counter()
    let over = Flag()
    // A guest that never stops reading: kicks come while it runs, and while its exits are handled.
    let runner = GuestThread { () -> AccessScriptStatus? in
      let script = AccessScript([.read(at: registers, byteCount: 4, count: .max)])
      return try? machine.run(script) { _, exit in
        if exit == .interrupted { answered.add() }
        return !over.isSet
      }
    }
    var lost = 0
    // Fewer on a busy machine.
    let enough = ContinuousClock.now + .seconds(20)
    for round in 0..<2000 where round < 20 || ContinuousClock.now < enough {
      let before = answered.value
      cpu.kick()
      let deadline = ContinuousClock.now + .seconds(60)
      while answered.value == before {
        if ContinuousClock.now > deadline {
          lost += 1
          break
        }
        sched_yield()
      }
      if lost > 0 { break }
    }
    over.set()
    _ = runner.join()
    #expect(lost == 0)
  }

  @Test("A second runner is refused")
  func secondRunner() throws {
    let machine = try AccessScriptMachine(kvm: KVM())
    let cpu = machine.cpus[0]
    // movb $1, 0xa000; again: jmp again
    let code: [UInt8] = [0xc6, 0x05, 0x00, 0xa0, 0x00, 0x00, 0x01, 0xeb, 0xfe]
    try machine.memory.write(at: 0x8000, from: code.rawSpan)
    try machine.memory.store32(0, at: 0xa000)
    try cpu.set32BitFlatMode(entry: GuestAddress(0x8000), stack: GuestAddress(0x9000))
    let runner = GuestThread { try? cpu.run() }
    // Who came before the runner would stay in the guest for ever.
    var isInside = false
    for _ in 0..<600_000 where !isInside {
      isInside = try machine.memory.load32(at: 0xa000) == 1
      usleep(100)
    }
    let error = isInside ? kvmError { _ = try cpu.run() } : nil
    cpu.kick()
    #expect(runner.join() == .interrupted)
    #expect(isInside)
    #expect(error?.operation == .run)
    #expect(error?.errno == .resourceBusy)
  }
}

final class Flag: Sendable {
  private let value = Atomic<Bool>(false)
  var isSet: Bool { value.load(ordering: .acquiring) }
  func set() { value.store(true, ordering: .releasing) }
}

final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .acquiring) }
  func add() { count.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}
