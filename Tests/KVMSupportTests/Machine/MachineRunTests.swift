import Testing
import VFIOUser

@testable import KVMSupport

/// How a guest runs and ends.
@Suite(.serialized, .timeLimit(.minutes(10))) struct MachineRunTests {
  @Test("The exit port gives the status, and the console prints", arguments: TestMachine.engines)
  func exits(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    var script = AccessScript()
    script.append(
      .poll(.port, at: GuestAddress(0x3fd), byteCount: 1, mask: 0x20, until: 0x20, limit: 1))
    script.print("hello\n")
    script.append(.exit(status: 7))
    #expect(try test.run(script) == .exited(7))
    #expect(test.printed == "hello\n")
    let error = #expect(throws: MachineError.self) { try test.machine.run() }
    #expect(error?.code == .hasRun)
  }

  @Test(
    "A poll that never succeeds ends the script with its own status",
    arguments: TestMachine.engines)
  func timesOut(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    let script = AccessScript([
      .poll(at: GuestAddress(0xe000_0000), byteCount: 4, until: 1, limit: 3)
    ])
    #expect(try test.run(script) == .exited(AccessScriptStatus.timedOut.rawValue))
  }

  @Test(
    "Several CPUs share memory, and the last one ends the guest", arguments: TestMachine.engines)
  func cpus(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, cpuCount: 3)
    var scripts: [AccessScript] = []
    for cpu in 0..<3 as Range<UInt64> {
      var script = AccessScript()
      // Each hands a token on to the next.
      script.append(.poll(at: GuestAddress(0x8_0000), byteCount: 4, until: cpu))
      script.print("\(cpu)")
      script.write(0x8_0000, cpu + 1)
      scripts.append(script)
    }
    #expect(try test.run(scripts[0], scripts[1], scripts[2]) == .exited(0))
    #expect(test.printed == "012")
  }

  @Test("A CPU that fails ends the others", arguments: TestMachine.engines)
  func failing(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, cpuCount: 2)
    let endless = AccessScript([.poll(at: GuestAddress(0x8_0000), byteCount: 4, until: 1)])
    #expect(try test.run(endless, AccessScript([.exit(status: 3)])) == .exited(3))
  }

  @Test("A guest that goes on forever can be stopped", arguments: TestMachine.engines)
  func stopping(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine, cpuCount: 2)
    let endless = AccessScript([.poll(at: GuestAddress(0x8_0000), byteCount: 4, until: 1)])
    let waiting = AccessScript([
      .write(.port, at: ConsolePort.port, 1, byteCount: 1), .enableInterrupts,
      .awaitInterrupts(vector: 0x50, count: 1),
    ])
    let (machine, console) = (test.machine, test.console)
    let stopper = try WorkThread(name: "test") {
      _ = console.wait { !$0.isEmpty }
      machine.stop()
    }
    #expect(try test.run(endless, waiting) == .stopped)
    stopper.join()
  }

  @Test("A machine that was stopped before does not begin", arguments: TestMachine.engines)
  func stoppedBefore(_ engine: MachineOptions.Engine) throws {
    let test = try TestMachine(engine)
    test.machine.stop()
    #expect(try test.run(AccessScript([.exit(status: 1)])) == .stopped)
  }

  @Test("What cannot be run is refused")
  func refusals() throws {
    var options = MachineOptions()
    options.engine = .software
    options.cpuCount = 0
    #expect(throws: MachineError.self) { try Machine(options) }
    options.cpuCount = 1
    options.memoryByteCount = 4096
    #expect(throws: MachineError.self) { try Machine(options) }
    options.memoryByteCount = 16 << 20
    let machine = try Machine(options)
    func code(_ body: () throws -> Void) -> MachineError.Code? {
      (#expect(throws: MachineError.self) { try body() })?.code
    }
    #expect(code { _ = try machine.run() } == .badGuest)
    #expect(code { try machine.load(.image(GuestImage(bytes: [0xf4]))) } == .badGuest)
    #expect(code { try machine.load(.scripts([AccessScript(), AccessScript()])) } == .badGuest)
    #expect(
      code {
        try machine.load(.scripts([AccessScript([.read(at: GuestAddress(0), byteCount: 3)])]))
      }
        == .systemCall)
    #expect(code { try machine.attach(path: "/nonexistent/socket") } == .connection)
  }

  @Test("A device that no guest would find is refused")
  func hidden() throws {
    let test = try TestMachine(.software)
    try test.attach(PinDevice.self, at: PCIAddress(device: 4, function: 2))
    let error = #expect(throws: MachineError.self) { try test.run(AccessScript()) }
    #expect(error?.code == .badAddress && error?.description.contains("00:04.2") == true)
  }

  // MARK: Programs, which KVM alone runs

  private func run(_ bytes: [UInt8], cpuCount: Int = 1) throws -> (MachineEnding, TestMachine) {
    let test = try TestMachine(.kvm, cpuCount: cpuCount)
    try test.machine.load(.image(GuestImage(bytes: bytes)))
    return (try test.machine.run(), test)
  }

  @Test(
    "A program begins at its first byte and ends by the exit port", .onKVM)
  func program() throws {
    // mov $0x2a, %eax; out %eax, $0xf4
    #expect(try run([0xb8, 0x2a, 0, 0, 0, 0xe7, 0xf4]).0 == .exited(42))
  }

  @Test("A program that halts for good ends", .onKVM)
  func halt() throws {
    // cli; hlt; jmp back
    #expect(try run([0xfa, 0xf4, 0xeb, 0xfd]).0 == .halted)
    #expect(try run([0xfa, 0xf4, 0xeb, 0xfd], cpuCount: 2).0 == .halted)
  }

  @Test("A program that fails in failing ends", .onKVM)
  func shutdown() throws {
    // ud2, without an interrupt table
    #expect(try run([0x0f, 0x0b]).0 == .shutdown(cpu: 0))
  }

  @Test("A program finds what it is told in its registers", .onKVM)
  func registers() throws {
    // The CPU's number plus 48 to the console; CPU 1 waits until CPU 0 has written to memory.
    let bytes: [UInt8] = [
      0x89, 0xc6,  // mov %eax, %esi
      0x3b, 0x05, 0x00, 0x00, 0x09, 0x00,  // again: cmp 0x90000, %eax
      0x75, 0xf8,  // jne again
      0x83, 0xc0, 0x30,  // add $48, %eax
      0x66, 0xba, 0xf8, 0x03,  // mov $0x3f8, %dx
      0xee,  // out %al, (%dx)
      0x50,  // push %eax
      0xff, 0x05, 0x00, 0x00, 0x09, 0x00,  // incl 0x90000
      0x46,  // inc %esi
      0x39, 0xde,  // cmp %ebx, %esi
      0x75, 0x03,  // jne halt
      0x90, 0xe7, 0xf4,  // nop; out %eax, $0xf4
      0xfa, 0xf4,  // halt: cli; hlt
    ]
    let (ending, test) = try run(bytes, cpuCount: 2)
    #expect(ending == .exited(49))
    #expect(test.printed == "01")
  }

  @Test("A program that does not fit is refused", .onKVM)
  func tooLarge() throws {
    let test = try TestMachine(.kvm)
    for image in [
      GuestImage(bytes: []), GuestImage(bytes: [0, 0], address: GuestAddress(16 << 20 - 1)),
      GuestImage(bytes: [0], address: GuestAddress(.max)),
    ] {
      let error = #expect(throws: MachineError.self) { try test.machine.load(.image(image)) }
      #expect(error?.code == .badGuest)
    }
  }
}
