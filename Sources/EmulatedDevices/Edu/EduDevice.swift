import DeviceModel

/// QEMU's educational device: a few registers, a factorial unit, interrupts and a DMA engine.
///
/// Drivers in courses and in the kernel's documentation are written for it, so it behaves as the
/// original does.
///
/// Source: QEMU, `docs/specs/edu.rst`.
public final class EduDevice: PCIDevice {
  /// What is known of `edu` before one is made.
  public static let declaration = PCIDeviceDeclaration(
    name: "edu", summary: "QEMU's educational PCI device.",
    discussion: """
      A device to learn driver writing with: it identifies itself, computes factorials, raises interrupts on demand and \
      moves data between guest memory and a buffer of 4096 bytes at 0x40000 of its own address view. Registers are \
      accessed 4 bytes at a time; 8 bytes are allowed from 0x80 on.
      """,
    knobs: EduKnobs.all, hardware: EduHardware.describe)

  /// Why it interrupts.
  private enum Cause {
    static let factorial: UInt64 = 0x001
    static let dma: UInt64 = 0x100
  }

  private static let computing: UInt64 = 0x01
  private static let interruptWhenComputed: UInt64 = 0x80

  private unowned let function: PCIFunction
  private let registers: RegisterBlock<EduRegister>
  private let interrupt: PCIInterruptLine
  private let dma: EduDMA
  private let factorialDelay: Duration

  /// Makes the device in its state after power-on.
  ///
  /// - Throws: nothing with a function of this declaration.
  public init(_ function: PCIFunction) throws {
    self.function = function
    registers = try function.registers(EduRegister.self)
    interrupt = function.interruptLine()
    dma = EduDMA(function, addressMask: UInt64(function.knobs[EduKnobs.dmaMask]))
    factorialDelay = .microseconds(function.knobs[EduKnobs.factorialDelay])
    try function.setHandler(EduAccessRules(registers), for: "EduRegister", in: 0)
    registers.effect = { [unowned self] access throws(Errno) in written(&access) }
  }

  /// Back to the state after power-on; the registers are there already.
  public func reset(_ kind: ResetKind) { dma.reset() }

  private func written(_ access: inout RegisterEffect) {
    switch EduRegister(access) {
    case .liveness: access.value = ~access.written
    case .factorial:
      if isComputing { access.value = access.oldValue } else { compute() }
    case .interruptRaise: raise(access.written)
    case .interruptAcknowledge: acknowledge(access.written)
    case .dmaSource, .dmaDestination, .dmaCount:
      if isTransferring { access.value = access.oldValue }
    case .dmaCommand:
      // The register holds the new command already; whether a transfer runs is in the old one.
      let run = EduDMA.Command.run.rawValue
      if access.oldValue & run != 0 || access.written & run == 0 {
        access.value = access.oldValue
      } else {
        startTransfer()
      }
    case .identification, .status, .interruptStatus: break
    }
  }

  // MARK: - Factorials

  private var isComputing: Bool { registers[.status] & Self.computing != 0 }

  /// Computes later, so that drivers have to look at the status register.
  private func compute() {
    registers[.status] |= Self.computing
    function.after(factorialDelay) { [unowned self] in
      registers[.factorial] = UInt64(
        Self.factorial(of: UInt32(truncatingIfNeeded: registers[.factorial])))
      registers[.status] &= ~Self.computing
      if registers[.status] & Self.interruptWhenComputed != 0 { raise(Cause.factorial) }
    }
  }

  /// n! modulo 2 to the 32nd.
  static func factorial(of number: UInt32) -> UInt32 {
    // 34! is a multiple of 2 to the 32nd, and so is every later one.
    guard number < 34 else { return 0 }
    return (0..<number).reduce(1) { $0 &* ($1 + 1) }
  }

  // MARK: - Interrupts

  private func raise(_ causes: UInt64) {
    registers[.interruptStatus] |= causes
    if registers[.interruptStatus] != 0 { interrupt.raise() }
  }

  private func acknowledge(_ causes: UInt64) {
    registers[.interruptStatus] &= ~causes
    if registers[.interruptStatus] == 0 { interrupt.lower() }
  }

  // MARK: - DMA

  private var isTransferring: Bool {
    registers[.dmaCommand] & EduDMA.Command.run.rawValue != 0
  }

  private func startTransfer() {
    // From the loop, after this access has been answered: the registers are settled by then.
    function.after(.zero) { [unowned self] in
      let command = EduDMA.Command(rawValue: registers[.dmaCommand])
      dma.transfer(
        source: registers[.dmaSource], destination: registers[.dmaDestination],
        byteCount: registers[.dmaCount], command
      ) { [weak self] in
        guard let self else { return }
        registers[.dmaCommand] &= ~EduDMA.Command.run.rawValue
        if command.contains(.interrupt) { raise(Cause.dma) }
      }
    }
  }
}
