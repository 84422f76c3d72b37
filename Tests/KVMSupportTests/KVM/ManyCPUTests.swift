import KVMSupport
import Testing
import VFIOUser

@Suite("Several CPUs and machines", .onKVM, .timeLimit(.minutes(10)))
struct ManyCPUTests {
  @Test("Two CPUs of a machine run at once, each with its own accesses and answers")
  func twoCPUs() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), cpuCount: 2)
    let flags = GuestAddress(0x5000)
    let runners = (0..<2).map { cpu in
      GuestThread { () -> [UInt64] in
        let mine = UInt64(cpu)
        var answer = 1000 * mine
        let script = AccessScript([
          // Both wait until the other runs.
          .write(at: flags + 4 * mine, 1, byteCount: 4),
          .poll(at: flags + 4 * (1 - mine), byteCount: 4, until: 1),
          .read(at: registers + 0x1000 * mine, byteCount: 4, into: 0, count: 500),
        ])
        let status = try? machine.run(script, cpu: cpu) { cpu, exit in
          guard case .memoryRead(registers + 0x1000 * mine, 4) = exit else {
            return exit == .interrupted
          }
          answer += 1
          cpu.complete(answer)
          return true
        }
        guard status == .done else { return [] }
        return (try? machine.results(500, cpu: cpu)) ?? []
      }
    }
    for (cpu, runner) in runners.enumerated() {
      let first = UInt64(1000 * cpu)
      #expect(runner.join() == (first + 1...first + 500).map { $0 })
    }
  }

  @Test("E6: a message goes to the CPU that it names")
  func messagesToCPUs() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), cpuCount: 2)
    let ready = GuestAddress(0x5000)
    let runners = (0..<2).map { cpu in
      GuestThread { () -> AccessScriptStatus? in
        let script = AccessScript([
          .enableInterrupts,
          .write(at: ready + 4 * UInt64(cpu), 1, byteCount: 4),
          .awaitInterrupts(vector: 0x50 + UInt8(cpu), count: 1),
        ])
        return try? machine.run(script, cpu: cpu) { _, exit in exit == .interrupted }
      }
    }
    while try machine.memory.load32(at: 0x5000) == 0 || machine.memory.load32(at: 0x5004) == 0 {}
    for cpu in 0..<2 {
      guard
        case .message(let address, let data) = InterruptRoute.message(
          vector: 0x50 + UInt8(cpu), cpu: UInt8(cpu))
      else { return }
      let isTaken = try machine.machine.signalMessage(address: address, data: data)
      #expect(isTaken)
    }
    for runner in runners { #expect(runner.join() == .done) }
    #expect(try machine.interruptCount(vector: 0x50, cpu: 0) == 1)
    #expect(try machine.interruptCount(vector: 0x51, cpu: 0) == 0)
    #expect(try machine.interruptCount(vector: 0x50, cpu: 1) == 0)
    #expect(try machine.interruptCount(vector: 0x51, cpu: 1) == 1)
  }

  @Test("A guest starts another CPU itself, by INIT and start-up messages")
  func startup() throws {
    let machine = try AccessScriptMachine(kvm: KVM(), cpuCount: 2)
    // In real mode at 0x7000, the vector of the start-up message: mov $0x600, %dx; mov $0x5a, %al;
    // out %al, %dx
    let code: [UInt8] = [0xba, 0x00, 0x06, 0xb0, 0x5a, 0xee]
    try machine.memory.write(at: 0x7000, from: code.rawSpan)
    let second = machine.cpus[1]
    let runner = GuestThread { () -> VirtualCPUExit? in
      while let exit = try? second.run() {
        if exit != .interrupted { return exit }
      }
      return nil
    }
    let command = GuestAddress(0xfee0_0300)
    let seen = try SeenAccesses(
      [
        .enableInterrupts,
        .write(at: command + 0x10, 1 << 24, byteCount: 4),
        .write(at: command, 0x4500, byteCount: 4),
        .write(at: command, 0x4607, byteCount: 4),
      ], on: machine)
    #expect(seen.status == .done)
    #expect(runner.join() == .portWrite(GuestAddress(0x600), value: 0x5a, byteCount: 1))
  }

  @Test("Two machines in a process share device memory, and nothing else")
  func twoMachines() throws {
    let kvm = try KVM()
    let machines = try (0..<2).map { _ in
      try AccessScriptMachine(kvm: kvm, hasInterruptController: false)
    }
    let shared = try SharedMemory(byteCount: 4096)
    for machine in machines {
      try machine.machine.map(MemorySlot(address: registers, memory: shared, byteCount: 4096))
    }
    let event = try EventDescriptor()
    try machines[0].machine.register(
      IOEvent(address: registers + 0x1000, byteCount: 4, descriptor: event.rawValue))
    for (index, machine) in machines.enumerated() {
      let seen = try SeenAccesses(
        [
          .read(at: registers, byteCount: 4, into: 0),
          .write(at: registers, UInt64(index + 1), byteCount: 4),
          .write(at: registers + 0x1000, 5, byteCount: 4),
        ], on: machine)
      #expect(try machine.results(1) == [UInt64(index)])
      #expect(
        seen.exits
          == (index == 0 ? [] : [.memoryWrite(registers + 0x1000, value: 5, byteCount: 4)]))
    }
    #expect(event.consume() == 1)
  }

  @Test("CPUs that are made twice, and wrong numbers, are refused by name")
  func refused() throws {
    let machine = try VirtualMachine(kvm: KVM())
    let first = try machine.makeCPU(0)
    #expect(first.index == 0)
    let twice = kvmError { _ = try machine.makeCPU(0) }
    #expect(twice?.operation == .createCPU)
    #expect(twice?.errno == .fileExists)
    #expect(twice?.description.hasPrefix("KVM_CREATE_VCPU (CPU 0): ") == true)
    #expect(kvmError { _ = try machine.makeCPU(-1) }?.errno == .invalidArgument)
    #expect(kvmError { _ = try machine.makeCPU(1 << 20) }?.errno == .invalidArgument)
    let late = kvmError { try machine.createInterruptController() }
    #expect(late?.operation == .createInterruptController)
    #expect(late?.errno == .invalidArgument)
  }

  @Test("A CPU keeps its machine and the machine's memory")
  func lifetime() throws {
    let cpu: VirtualCPU
    do {
      let machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
      try machine.memory.store32(0xf4, at: 0x8000)  // hlt
      cpu = machine.cpus[0]
    }
    try cpu.set32BitFlatMode(entry: GuestAddress(0x8000), stack: GuestAddress(0x9000))
    #expect(try cpu.run() == .halted)
  }
}

@Suite("Where there is no KVM")
struct NoKVMTests {
  @Test("A device that is not there, and one that is no KVM, are refused by name")
  func refused() throws {
    let missing = kvmError { _ = try KVM(path: "/dev/no-such-device") }
    #expect(missing?.operation == .open)
    #expect(missing?.errno == .noSuchFileOrDirectory)
    #expect(
      missing?.description
        == "open (/dev/no-such-device): No such file or directory: the host has no KVM, or its "
        + "module is not loaded")
    let other = kvmError { _ = try KVM(path: "/dev/null") }
    #expect(other?.operation == .getAPIVersion)
  }

  @Test("Every error has its call's name, also where nobody knows what it means")
  func names() {
    #expect("\(KVMError(.run, .badAddress, "CPU 1"))".hasPrefix("KVM_RUN (CPU 1): Bad address: "))
    #expect("\(KVMError(.setLine, .ioError))".hasPrefix("KVM_IRQ_LINE: "))
    #expect(Set(KVMOperation.allCases.map(\.rawValue)).count == KVMOperation.allCases.count)
  }
}
