import Testing

@testable import KVMSupport
@testable import VFIOUser

/// The BAR of all paths, accessed by a guest on the host's KVM.
@Suite("Mixed BAR on KVM", .onKVM, .timeLimit(.minutes(10)))
struct MixedBAROnKVMTests {
  @Test("I19 I22: on KVM, too, exactly one mechanism handles each access to a BAR of all paths")
  func oneHandlerEach() throws {
    let bar = try MixedBAR()
    let machine = try AccessScriptMachine(kvm: KVM())
    let space = AddressSpace(hypervisor: machine.machine)
    try space.place(bar.window, at: registers)
    #expect(bar.window.fallbacks.isEmpty)
    for write in MixedBARTests.writes {
      let status = try machine.run(
        AccessScript([
          .write(at: registers + write.offset, write.value, byteCount: write.byteCount)
        ]), in: space)
      #expect(status == .done)
      let seen = bar.witnesses(portCommands: write.witness == .port ? 1 : 0)
      #expect(seen == [write.witness: 1], "a write of \(write.byteCount) at \(write.offset)")
    }
    // What KVM handled by itself caused no exit, and was counted nowhere.
    let silent: Set<MixedBAR.Witness> = [
      .memory, .anyEvent, .valueEvent, .lengthlessEvent, .portEvent,
    ]
    let exits = MixedBARTests.writes.filter { !silent.contains($0.witness) }.count
    #expect(bar.window.usage.flatMap(\.counts).reduce(0) { $0 + $1.value } == exits)
    space.remove(bar.window)
    bar.end()
  }

  @Test("M9: a BAR that moves takes its memory, its eventfds and its ports along on KVM")
  func moves() throws {
    let bar = try MixedBAR()
    let machine = try AccessScriptMachine(kvm: KVM())
    let space = AddressSpace(hypervisor: machine.machine)
    for round in UInt64(0)..<6 {
      // By a page, so that the new place overlaps the old one.
      let base = registers + round * 0x1000
      try space.place(bar.window, at: base)
      #expect(bar.window.fallbacks.isEmpty)
      let status = try machine.run(
        AccessScript([
          .write(at: base + 0x1008, round + 1, byteCount: 8),
          .read(at: base + 0x1008, byteCount: 8, into: 0),
          .read(at: base + 0x2004, byteCount: 4, into: 1),
          .write(at: base + 0x300, 0, byteCount: 4),
          .read(at: base + 0x3000, byteCount: 4, into: 2),
        ]), in: space)
      #expect(status == .done)
      #expect(try machine.results(3) == [round + 1, 0x2004, 0xffff_ffff])
      #expect(bar.witnesses(portCommands: 1) == [.memory: 1, .port: 1, .anyEvent: 1])
    }
    space.remove(bar.window)
    bar.end()
  }
}
