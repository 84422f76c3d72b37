import DeviceProgram
import KVMSupport
import Synchronization
import VFIOUser

/// The steps with a guest: a machine, and `edu` in a process of its own on the guest's PCI bus.
struct MachineDemo {
  private let report: DemoReport

  private let usesSoftware: Bool

  init(_ report: DemoReport, usesSoftware: Bool) {
    self.report = report
    self.usesSoftware = usesSoftware
  }

  /// What the guest does where there is no KVM; `GuestProgram.eduDriver` is the program that does it there.
  ///
  /// Where edu's MSI capability is, the program looks for; the script knows it.
  private static let script = """
    config-expect32 00:01.0 0 0x11e81234
    config-write32 00:01.0 0x10 0xffffffff
    config-expect32 00:01.0 0x10 0xfff00000
    config-write32 00:01.0 0x10 0xe0000000
    config-write16 00:01.0 4 6
    expect32 0xe0000000 0x010000ed
    print "edu has 1 MiB at 0xe0000000\\n"
    write32 0xe0000008 10
    poll32 0xe0000020 0 mask 1
    expect32 0xe0000008 3628800
    print "10! = 3628800\\n"
    write32 0x80ffc 0xcafe1234
    write64 0xe0000080 0x80000
    write64 0xe0000088 0x40000
    write64 0xe0000090 4096
    write64 0xe0000098 1
    poll64 0xe0000098 0 mask 1
    write64 0xe0000080 0x40000
    write64 0xe0000088 0x90000
    write64 0xe0000098 3
    poll64 0xe0000098 2 mask 3
    expect32 0x90ffc 0xcafe1234
    print "4096 bytes of memory went to edu and back\\n"
    interrupts
    config-write32 00:01.0 0x44 0xfee00000
    config-write16 00:01.0 0x4c 0x41
    config-write16 00:01.0 0x42 1
    on 0x41 write32 0xe0000064 0x42
    write32 0xe0000060 0x42
    await 0x41
    expect32 0xe0000024 0
    print "its interrupt came as a message\\n"
    """

  private final class Output: Sendable {
    let bytes = Mutex<[UInt8]>([])
  }

  /// Runs the guest: on KVM if there is one.
  func run() throws {
    let hasKVM = KVM.isAvailable && !usesSoftware
    let place =
      hasKVM
      ? "KVM" : usesSoftware ? "software" : "software, since \(KVM.standardPath) cannot be used"
    print("a guest in \(place), edu in a process of its own:")
    let output = Output()
    let (machine, process) = try report.step("make a machine, attach edu") {
      let (machine, process, device) = try makeMachine(hasKVM ? .kvm : .software, output)
      return (
        (machine, process),
        "process \(process.processID), at \(device.address), \(machine.memory.byteCount >> 20) MiB, 1 CPU"
      )
    }
    try report.step("run the guest") {
      if hasKVM {
        try machine.load(
          .image(
            GuestImage(bytes: GuestProgram.eduDriver.bytes, address: GuestProgram.address)))
      } else {
        try machine.load(.scripts(try AccessScriptText(Self.script).scripts))
      }
      let ending = try machine.run()
      try report.expect(ending == .exited(0), "\(ending)")
      return ((), "\(ending)")
    }
    let text = String(decoding: output.bytes.withLock { $0 }, as: UTF8.self)
    for line in text.split(separator: "\n") { print("    guest: \(line)") }
    try report.step("accesses to edu") {
      let counts = machine.devices.flatMap(\.placements).flatMap(\.window.usage).flatMap(\.counts)
      return ((), "\(counts.reduce(0) { $0 + $1.value }) left the guest")
    }
    try report.step("stop") {
      machine.close()
      let ending = process.wait(timeout: .seconds(5))
      try report.expect(ending == .exited(0), "the device's process did not end cleanly")
      return ((), "the device's process has exited with 0")
    }
  }

  private func makeMachine(
    _ engine: MachineOptions.Engine, _ output: Output
  ) throws -> (Machine, ChildProcess, AttachedDevice) {
    let pair = try SocketPair()
    let process = try ChildProcess(
      "/proc/self/exe", ["serve", "edu", "--fd", "3", "--log-level", "warning"],
      descriptors: [3: pair.second.rawValue])
    var options = MachineOptions()
    options.engine = engine
    options.memoryByteCount = 16 << 20
    let machine = try Machine(
      options, output: { byte in output.bytes.withLock { $0.append(byte) } })
    let descriptor = DemoDescriptor(try pair.first.duplicate())
    let device = try machine.attach(name: "edu") { () throws(ClientError) in
      try descriptor.take()
    }
    return (machine, process, device)
  }
}
