import CVFIOUserLinux
import KVMSupport
import Testing
import VFIOUser

@Suite("Interrupts into a guest", .onKVM, .timeLimit(.minutes(10)))
struct InterruptTests {
  let machine: AccessScriptMachine
  /// Where the scripts tell that they have come so far.
  private let step = GuestAddress(0x600)

  init() throws { machine = try AccessScriptMachine(kvm: KVM()) }

  /// Runs a script, and does `action` at each write to the step port, given its value.
  private func run(
    _ script: [AccessOperation], cpu: Int = 0, _ action: (UInt64) throws -> Void
  ) throws -> AccessScriptStatus? {
    var failure: (any Error)?
    let status = try machine.run(AccessScript(script), cpu: cpu) { _, exit in
      guard case .portWrite(step, let value, _) = exit else { return exit == .interrupted }
      do { try action(value) } catch { failure = error }
      return failure == nil
    }
    if let failure { throw failure }
    return status
  }

  @Test("E6: each signal of an irqfd with a message's route is one interrupt of its vector")
  func messages() throws {
    let event = try EventDescriptor()
    try machine.machine.setRoutes(
      InterruptRoute.standard + [
        InterruptRoute(line: 24, to: InterruptRoute.message(vector: 0x51))
      ])
    try machine.machine.assign(InterruptDescriptor(line: 24, descriptor: event.rawValue))
    var script: [AccessOperation] = [.enableInterrupts]
    for count in 1...50 {
      script.append(.write(.port, at: step, UInt64(count), byteCount: 4))
      script.append(.awaitInterrupts(vector: 0x51, count: UInt32(count)))
    }
    #expect(try run(script) { _ in event.signal() } == .done)
    #expect(try machine.interruptCount(vector: 0x51) == 50)
    #expect(try machine.interruptCount(vector: 0x50) == 0)
  }

  @Test("E6: a guest that sleeps is woken by an irqfd from another thread")
  func wakesSleeper() throws {
    let event = try EventDescriptor()
    try machine.machine.setRoutes([
      InterruptRoute(line: 3, to: InterruptRoute.message(vector: 0x40))
    ])
    try machine.machine.assign(InterruptDescriptor(line: 3, descriptor: event.rawValue))
    let asked = try EventDescriptor()
    let raw = (asked.rawValue, event.rawValue)
    let device = GuestThread { () -> Int in
      var answered = 0
      while answered < 20 {
        var state = pollfd(fd: raw.0, events: Int16(POLLIN), revents: 0)
        guard poll(&state, 1, 60_000) == 1 else { break }
        var value: UInt64 = 0
        _ = read(raw.0, &value, 8)
        usleep(1000)
        value = 1
        _ = write(raw.1, &value, 8)
        answered += 1
      }
      return answered
    }
    // The doorbell is an ioeventfd and the interrupt an irqfd: nothing exits.
    try machine.machine.register(
      IOEvent(address: registers, byteCount: 4, descriptor: asked.rawValue))
    var script: [AccessOperation] = [.enableInterrupts]
    for count in 1...20 {
      script.append(.write(at: registers, 1, byteCount: 4))
      script.append(.awaitInterrupts(vector: 0x40, count: UInt32(count)))
    }
    let seen = try SeenAccesses(script, on: machine)
    #expect(device.join() == 20)
    #expect(seen.exits.filter { $0 != .interrupted } == [])
    #expect(seen.status == .done)
  }

  @Test("E6: vectors are counted apart, and a message needs no line")
  func vectors() throws {
    let script: [AccessOperation] = [
      .enableInterrupts,
      .write(.port, at: step, 0x60, byteCount: 1), .awaitInterrupts(vector: 0x60, count: 1),
      .write(.port, at: step, 0x61, byteCount: 1), .awaitInterrupts(vector: 0x61, count: 1),
      .write(.port, at: step, 0x60, byteCount: 1), .awaitInterrupts(vector: 0x60, count: 2),
    ]
    let status = try run(script) { vector in
      let isTaken = try machine.machine.signalMessage(address: 0xfee0_0000, data: UInt32(vector))
      #expect(isTaken)
    }
    #expect(status == .done)
    #expect(try machine.interruptCount(vector: 0x60) == 2)
    #expect(try machine.interruptCount(vector: 0x61) == 1)
  }

  @Test("E6: an edge on a line of the I/O APIC is an interrupt")
  func edge() throws {
    let script: [AccessOperation] =
      [.enableInterrupts] + route(pin: 10, vector: 0x45, level: false) + [
        .write(.port, at: step, 1, byteCount: 4), .awaitInterrupts(vector: 0x45, count: 1),
        .write(.port, at: step, 1, byteCount: 4), .awaitInterrupts(vector: 0x45, count: 2),
      ]
    let status = try run(script) { _ in
      try machine.machine.setLine(10, true)
      try machine.machine.setLine(10, false)
    }
    #expect(status == .done)
    #expect(try machine.interruptCount(vector: 0x45) == 2)
  }

  @Test("E6: INTx: the end of a level interrupt is told, and the device may raise it again")
  func resample() throws {
    let raise = try EventDescriptor()
    let ended = try EventDescriptor()
    try machine.machine.assign(
      InterruptDescriptor(line: 11, descriptor: raise.rawValue, resample: ended.rawValue))
    // The device has three reasons to interrupt. Each handler's write takes one away; when the end is
    // told, the device looks whether there is another.
    let acknowledge = registers + 0x20
    var reasons = 3
    var ends = 0
    let script: [AccessOperation] =
      [.enableInterrupts] + route(pin: 11, vector: 0x46, level: true) + [
        .onInterrupt(vector: 0x46, .write(at: acknowledge, 1, byteCount: 4)),
        .write(.port, at: step, 0, byteCount: 4),
        .awaitInterrupts(vector: 0x46, count: 1), .write(.port, at: step, 1, byteCount: 4),
        .awaitInterrupts(vector: 0x46, count: 2), .write(.port, at: step, 2, byteCount: 4),
        .awaitInterrupts(vector: 0x46, count: 3), .write(.port, at: step, 3, byteCount: 4),
      ]
    let status = try machine.run(AccessScript(script)) { _, exit in
      switch exit {
      case .portWrite(step, 0, _): raise.signal()
      case .memoryWrite(acknowledge, _, _): reasons -= 1
      case .portWrite(step, _, _):
        guard ended.wait(timeout: .seconds(60)) != nil else { return false }
        ends += 1
        if reasons > 0 { raise.signal() }
      case .interrupted: break
      default: return false
      }
      return true
    }
    #expect(status == .done)
    #expect(reasons == 0)
    #expect(ends == 3)
    #expect(try machine.interruptCount(vector: 0x46) == 3)
  }

  @Test("A handler's read goes to its slot")
  func handlerReads() throws {
    let script: [AccessOperation] = [
      .enableInterrupts,
      .onInterrupt(vector: 0x70, .read(at: registers + 0x24, byteCount: 4, into: 5)),
      .write(.port, at: step, 1, byteCount: 4),
      .awaitInterrupts(vector: 0x70, count: 1),
    ]
    let status = try machine.run(AccessScript(script)) { cpu, exit in
      switch exit {
      case .portWrite(step, _, _):
        return (try? machine.machine.signalMessage(address: 0xfee0_0000, data: 0x70)) == true
      case .memoryRead:
        cpu.complete(0xbeef)
        return true
      default: return exit == .interrupted
      }
    }
    #expect(status == .done)
    #expect(try machine.results(6) == [0, 0, 0, 0, 0, 0xbeef])
  }

  @Test("After an irqfd is gone its signals do nothing")
  func deassigned() throws {
    let event = try EventDescriptor()
    try machine.machine.setRoutes([
      InterruptRoute(line: 4, to: InterruptRoute.message(vector: 0x52)),
      InterruptRoute(line: 5, to: InterruptRoute.message(vector: 0x53)),
    ])
    let interrupt = InterruptDescriptor(line: 4, descriptor: event.rawValue)
    try machine.machine.assign(interrupt)
    try machine.machine.deassign(interrupt)
    let script: [AccessOperation] = [
      .enableInterrupts,
      .write(.port, at: step, 1, byteCount: 4),
      .awaitInterrupts(vector: 0x53, count: 1),
    ]
    let status = try run(script) { _ in
      event.signal()
      try machine.machine.setLine(5, true)
    }
    #expect(status == .done)
    #expect(try machine.interruptCount(vector: 0x52) == 0)
    #expect(event.consume() == 1)
  }

  @Test("What the kernel refuses is named")
  func refused() throws {
    let bare = try VirtualMachine(kvm: machine.machine.kvm)
    let event = try EventDescriptor()
    let interrupt = InterruptDescriptor(line: 5, descriptor: event.rawValue)
    #expect(kvmError { try bare.assign(interrupt) }?.operation == .interruptDescriptor)
    #expect(kvmError { try bare.setLine(5, true) }?.errno == .noSuchAddressOrDevice)
    #expect(kvmError { try bare.setRoutes(InterruptRoute.standard) }?.errno == .invalidArgument)
    #expect(kvmError { try bare.signalMessage(address: 0xfee0_0000, data: 0x40) } != nil)

    let full = machine.machine
    #expect(kvmError { try full.createInterruptController() }?.errno == .fileExists)
    try full.assign(interrupt)
    #expect(kvmError { try full.assign(interrupt) }?.errno == .resourceBusy)
    #expect(
      kvmError { try full.assign(InterruptDescriptor(line: 5, descriptor: 1_000_000)) }?.errno
        == .badFileDescriptor)
    #expect(
      kvmError { try full.setRoutes([InterruptRoute(line: 1, to: .pin(.ioAPIC, 99))]) }?.errno
        == .invalidArgument)
    #expect(
      kvmError { try full.setRoutes([InterruptRoute(line: 1 << 20, to: .pin(.ioAPIC, 1))]) }?.errno
        == .invalidArgument)
  }

  /// Programs a pin of the I/O APIC: its redirection entry's upper half, then the lower.
  private func route(pin: UInt64, vector: UInt8, level: Bool) -> [AccessOperation] {
    let select = GuestAddress(0xfec0_0000)
    let window = GuestAddress(0xfec0_0010)
    return [
      .write(at: select, 0x11 + 2 * pin, byteCount: 4), .write(at: window, 0, byteCount: 4),
      .write(at: select, 0x10 + 2 * pin, byteCount: 4),
      .write(at: window, UInt64(vector) | (level ? 1 << 15 : 0), byteCount: 4),
    ]
  }
}
