import CVFIOUserLinux
import KVMSupport
import Testing
import VFIOUser

@Suite("Memory slots", .onKVM)
struct MemorySlotTests {
  let machine: AccessScriptMachine

  init() throws { machine = try AccessScriptMachine(kvm: KVM(), hasInterruptController: false) }

  @Test("E3: device memory is seen by guest and host both ways, without an exit")
  func bothWays() throws {
    let memory = try SharedMemory(byteCount: 0x4000)
    let seals = cvfu_seals(memory.rawDescriptor)
    // F_SEAL_SHRINK
    #expect(seals & 2 != 0)
    // Its second half, so that the offset counts.
    try machine.machine.map(
      MemorySlot(address: registers, memory: memory, memoryOffset: 0x2000, byteCount: 0x2000))
    try memory.store32(0x1234_5678, at: 0x2010)
    let seen = try SeenAccesses(
      [
        .read(at: registers + 0x10, byteCount: 4, into: 0),
        .write(at: registers + 0x1ff8, 0xfeed_f00d_dead_beef, byteCount: 8),
        .read(at: registers + 0x2000, byteCount: 4, into: 1),
      ], on: machine)
    #expect(try machine.results(1) == [0x1234_5678])
    #expect(try memory.load64(at: 0x3ff8) == 0xfeed_f00d_dead_beef)
    #expect(seen.exits == [.memoryRead(registers + 0x2000, byteCount: 4)])
  }

  @Test("E3: a device that polls the memory sees the guest's store while the guest runs")
  func polled() throws {
    let memory = try SharedMemory(byteCount: 4096)
    try machine.machine.map(MemorySlot(address: registers, memory: memory, byteCount: 4096))
    let device = GuestThread { () -> Bool in
      let deadline = ContinuousClock.now + .seconds(60)
      while ContinuousClock.now < deadline {
        if (try? memory.load32(at: 0)) == 0xabcd {
          try? memory.store32(0x1357, at: 4)
          return true
        }
        usleep(100)
      }
      return false
    }
    let seen = try SeenAccesses(
      [
        .write(at: registers, 0xabcd, byteCount: 4),
        .poll(at: registers + 4, byteCount: 4, until: 0x1357),
      ], on: machine)
    #expect(device.join())
    #expect(seen.exits == [])
    #expect(seen.status == .done)
  }

  @Test("M9: a slot that is removed exits again, and its place can be taken by another")
  func removed() throws {
    let first = try SharedMemory(byteCount: 4096)
    try first.store32(1, at: 0)
    let second = try SharedMemory(byteCount: 8192)
    try second.store32(2, at: 0)
    let read: [AccessOperation] = [.read(at: registers, byteCount: 4, into: 0)]

    try machine.machine.map(MemorySlot(address: registers, memory: first, byteCount: 4096))
    #expect(try SeenAccesses(read, on: machine).exits == [])
    #expect(try machine.results(1) == [1])

    try machine.machine.unmap(at: registers)
    let seen = try SeenAccesses(read, on: machine) { _ in 77 }
    #expect(seen.exits == [.memoryRead(registers, byteCount: 4)])
    #expect(try machine.results(1) == [77])

    try machine.machine.map(MemorySlot(address: registers, memory: second, byteCount: 8192))
    #expect(try SeenAccesses(read, on: machine).exits == [])
    #expect(try machine.results(1) == [2])
    #expect(machine.machine.memorySlots.map(\.address) == [GuestAddress(0), registers])
  }

  @Test("Numbers of slots that are gone are used again")
  func reuse() throws {
    let memory = try SharedMemory(byteCount: 4096)
    // More often than a machine has slots.
    for _ in 0..<40_000 {
      try machine.machine.map(MemorySlot(address: registers, memory: memory, byteCount: 4096))
      try machine.machine.unmap(at: registers)
    }
  }

  @Test("Read-only memory is read without an exit; a write exits and changes nothing")
  func readOnly() throws {
    let memory = try SharedMemory(byteCount: 4096)
    try memory.store32(0x55aa, at: 8)
    try machine.machine.map(
      MemorySlot(address: registers, memory: memory, byteCount: 4096, isReadOnly: true))
    let seen = try SeenAccesses(
      [
        .read(at: registers + 8, byteCount: 4, into: 0),
        .write(at: registers + 8, 0x1111, byteCount: 4),
        .read(at: registers + 8, byteCount: 4, into: 1),
      ], on: machine)
    #expect(seen.exits == [.memoryWrite(registers + 8, value: 0x1111, byteCount: 4)])
    #expect(try machine.results(2) == [0x55aa, 0x55aa])
  }

  @Test("The memory lives as long as the guest sees it")
  func lifetime() throws {
    do {
      let memory = try SharedMemory(byteCount: 4096)
      try memory.store32(0x4321, at: 0)
      try machine.machine.map(MemorySlot(address: registers, memory: memory, byteCount: 4096))
    }
    let seen = try SeenAccesses([.read(at: registers, byteCount: 4, into: 0)], on: machine)
    #expect(seen.exits == [])
    #expect(try machine.results(1) == [0x4321])
  }

  @Test("I3: overlapping slots are EEXIST, what is no page EINVAL, what is not there ENOENT")
  func refused() throws {
    let memory = try SharedMemory(byteCount: 0x4000)
    let machine = machine.machine
    try machine.map(MemorySlot(address: registers, memory: memory, byteCount: 0x2000))
    let before = machine.memorySlots.count

    let overlap = kvmError {
      try machine.map(MemorySlot(address: registers + 0x1000, memory: memory, byteCount: 0x1000))
    }
    #expect(overlap?.operation == .setMemory)
    #expect(overlap?.errno == .fileExists)
    #expect(overlap?.description.contains("slot at 0xe0001000, 4096 bytes") == true)
    let same = kvmError {
      try machine.map(MemorySlot(address: registers, memory: memory, byteCount: 0x1000))
    }
    #expect(same?.errno == .fileExists)

    let free = registers + 0x10_0000
    let wrong: [MemorySlot] = [
      MemorySlot(address: free + 1, memory: memory, byteCount: 0x1000),
      MemorySlot(address: free, memory: memory, byteCount: 0x1001),
      MemorySlot(address: free, memory: memory, memoryOffset: 1, byteCount: 0x1000),
      MemorySlot(address: free, memory: memory, byteCount: 0),
      MemorySlot(address: free, memory: memory, byteCount: 0x5000),
      MemorySlot(address: free, memory: memory, memoryOffset: 0x4000, byteCount: 0x1000),
      MemorySlot(address: free, memory: memory, memoryOffset: .max - 0xfff, byteCount: 0x2000),
    ]
    for slot in wrong {
      #expect(kvmError { try machine.map(slot) }?.errno == .invalidArgument)
    }
    #expect(kvmError { try machine.unmap(at: free) }?.errno == .noSuchFileOrDirectory)
    #expect(machine.memorySlots.count == before)
    // As the dispatcher sees it.
    #expect(throws: Errno.noSuchFileOrDirectory) {
      try (machine as any Hypervisor).removeMemory(at: free)
    }
  }
}
