import ArgumentParser
import DeviceProgram
import Glibc
import KVMSupport
import Synchronization
import VFIOUser

/// One run of a machine from the command line, from its making to the exit of the process.
struct MachineSession {
  private let command: RunCommand

  init(_ command: RunCommand) { self.command = command }

  /// Runs the guest and ends the process with its status; returns only by throwing.
  func run() throws(MachineError) {
    // Before anything starts a thread.
    let signals = try MachineSignals()
    try guardSharedMemory()
    let (source, script) = try readGuest()
    var options = MachineOptions()
    options.engine = command.software ? .software : .kvm
    options.memoryByteCount = (try? command.memoryByteCount) ?? options.memoryByteCount
    options.cpuCount = command.cpus ?? script?.scripts.count ?? 1
    let showsPaths = command.paths
    let running = Running()
    let machine = try Machine(
      options, output: { byte in Self.print(byte) },
      onEvent: { event in
        Self.report("run: \(event)")
        if showsPaths, let address = event.addressOfNewPaths, let machine = running.machine {
          Self.report(MachineReport(machine, [address]).paths)
        }
      })
    running.machine = machine
    for (path, address) in (try? command.places) ?? [] {
      try machine.attach(path: path, at: address, policy: command.policy)
    }
    try machine.load(source)
    if command.paths { Self.report(MachineReport(machine).paths) }
    try signals.watch { machine.stop() }
    let ending = try machine.run()
    if let script { show(script, machine) }
    if command.statistics { Self.report(MachineReport(machine).statistics) }
    machine.close()
    finish(ending, signals.signal)
  }

  /// The machine, for its own events; they do not keep it.
  private final class Running: Sendable {
    private struct State: Sendable {
      weak var machine: Machine?
    }

    private let state = Mutex(State())

    var machine: Machine? {
      get { state.withLock { $0.machine } }
      set { state.withLock { $0.machine = newValue } }
    }
  }

  private func guardSharedMemory() throws(MachineError) {
    do { try BusErrorGuard.install() } catch {
      throw MachineError(.systemCall, "cannot guard shared memory: \(error)")
    }
  }

  private func readGuest() throws(MachineError) -> (GuestSource, AccessScriptText?) {
    if let program = command.program {
      return (.image(GuestImage(bytes: program.bytes, address: GuestProgram.address)), nil)
    }
    guard command.isScript else {
      let address = (try? command.loadAddress) ?? GuestImage.defaultAddress
      return (.image(try GuestImage(path: command.guest, address: address)), nil)
    }
    let bytes = try GuestImage.contents(command.guest)
    do throws(AccessScriptTextError) {
      let text = try AccessScriptText(String(decoding: bytes, as: UTF8.self))
      return (.scripts(text.scripts), text)
    } catch {
      throw MachineError(.badGuest, "\(command.guest): \(error)")
    }
  }

  /// Shows the results that the script gave names to.
  private func show(_ script: AccessScriptText, _ machine: Machine) {
    for result in script.results {
      let values = try? AccessScript.results(
        result.slot + 1, in: machine.memory, .standard(cpu: result.cpu))
      guard let value = values?.last else { continue }
      for byte in "\(result.name) = 0x\(String(value, radix: 16))\n".utf8 { Self.print(byte) }
    }
  }

  private func finish(_ ending: MachineEnding, _ signal: CInt?) -> Never {
    switch ending {
    case .exited(let status) where status < 0x100: exit(CInt(status))
    case .exited(let status) where command.isScript:
      Self.report("vfio-user: run: \(AccessScriptStatus(rawValue: status))")
    case .halted: exit(0)
    case .stopped: exit(128 + (signal ?? SIGTERM))
    default: Self.report("vfio-user: run: \(ending)")
    }
    exit(1)
  }

  /// Writes one byte to standard output at once.
  private static func print(_ byte: UInt8) {
    var byte = byte
    // Safety: the kernel reads one byte of a local variable.
    _ = unsafe write(STDOUT_FILENO, &byte, 1)
  }

  /// Writes lines to standard error at once.
  static func report(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    // Safety: the kernel reads the bytes of an array of our own. One call, so that lines do not mix.
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
  }
}

extension MachineEvent {
  /// Whose windows are reached in another way from now on.
  fileprivate var addressOfNewPaths: PCIAddress? {
    switch self {
    case .deviceReplanned(let address, _), .deviceResumed(let address, _): address
    default: nil
    }
  }
}
