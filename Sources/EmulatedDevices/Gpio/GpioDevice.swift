import DeviceModel

/// An ACCES PCI-IDIO-16: sixteen output lines, sixteen input lines, and an interrupt when inputs
/// change.
///
/// Linux's `gpio-pci-idio-16` drives it. The wires end at a byte stream of the host that speaks
/// lines of text; see ``declaration`` for its commands.
///
/// Source: ACCES PCI-IDIO-16 user manual; Linux, `drivers/gpio/gpio-pci-idio-16.c`.
public final class GpioDevice: PCIDevice {
  /// What is known of `gpio` before one is made.
  public static let declaration = PCIDeviceDeclaration(
    name: "gpio", summary: "An ACCES PCI-IDIO-16 digital I/O card: 16 outputs, 16 inputs.",
    discussion: """
      The backend is the other end of the wires, and speaks lines of text. Commands: "set LINE 0|1" drives an input line \
      and is answered "ok"; "get LINE" is answered "in LINE 0|1"; "inputs" and "outputs" are answered "inputs 0xHHHH" and \
      "outputs 0xHHHH", bit n for line n; anything else is answered "error" and the reason. When the driver changes an \
      output the line "out LINE 0|1" is sent; to a peer that reads slowly only the last level of each line.
      """,
    knobs: GpioKnobs.all,
    backend: BackendRequirement(
      kind: "lines", "The other ends of the wires: sets the inputs and learns of the outputs."),
    hardware: GpioHardware.describe)

  /// The bits of Interrupt Status.
  private enum Status {
    static let lowInputs: UInt64 = 0x1
    static let highInputs: UInt64 = 0x2
    static let pending: UInt64 = 0x4
  }

  private let registers: RegisterBlock<GpioRegister>
  private let interrupt: PCIInterruptLine
  private let wires: TextLineChannel
  /// The levels that the outside world drives. A reset of the card does not change them.
  private var inputs: UInt16
  private var outputs: UInt16 = 0
  /// The levels that the outside world knows.
  private var toldOutputs: UInt16 = 0
  private var isInterruptEnabled = false

  /// Makes the device in its state after power-on.
  ///
  /// - Throws: nothing with a function of this declaration.
  public init(_ function: PCIFunction) throws {
    registers = try function.registers(GpioRegister.self)
    interrupt = function.interruptLine()
    wires = TextLineChannel(function.backend(as: CharacterPort.self) ?? CharacterPort())
    inputs = UInt16(truncatingIfNeeded: function.knobs[GpioKnobs.inputs])
    wires.onLine = { [unowned self] in answer($0) }
    wires.onIdle = { [unowned self] in tellOutputs() }
    registers.effect = { [unowned self] access throws(Errno) in perform(&access) }
  }

  /// Outputs off, interrupt disabled; the inputs are what the outside world drives.
  public func reset(_ kind: ResetKind) {
    isInterruptEnabled = false
    updateInterrupt()
    updateOutputs()
  }

  /// Leaves the input lines as they are until the device may go on.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    wires.isPaused = true
    return .done
  }

  /// Goes on.
  public func resume() { wires.isPaused = false }

  // MARK: - The driver's side

  private func perform(_ access: inout RegisterEffect) {
    switch GpioRegister(access) {
    case .lowOutputs, .highOutputs: updateOutputs()
    case .lowInputs: access.value = UInt64(inputs & 0xff)
    case .highInputs: access.value = UInt64(inputs >> 8)
    case .clearInterrupt:
      access.value = 0
      registers[.interruptStatus] = 0
      updateInterrupt()
    case .interruptControl:
      isInterruptEnabled = !access.isWrite
      updateInterrupt()
    case .filterControl, .interruptStatus: break
    }
  }

  private func updateInterrupt() {
    interrupt.set(isInterruptEnabled && registers[.interruptStatus] & Status.pending != 0)
  }

  private func updateOutputs() {
    outputs = UInt16(truncatingIfNeeded: registers[.highOutputs] << 8 | registers[.lowOutputs])
    tellOutputs()
  }

  // MARK: - The outside world

  private func tellOutputs() {
    // Nobody is told later what changed before he came: he can ask.
    if !wires.isConnected { toldOutputs = outputs }
    let lines = outputs ^ toldOutputs
    guard lines != 0, wires.isIdle else { return }
    toldOutputs = outputs
    let events = (0..<GpioCommand.lineCount).filter { lines >> UInt16($0) & 1 != 0 }.map {
      "out \($0) \(outputs >> UInt16($0) & 1)"
    }
    wires.send(events.joined(separator: "\n"))
  }

  private func answer(_ line: String) -> String? {
    guard line.contains(where: { $0 != " " }) else { return nil }
    do throws(GpioCommand.Mistake) {
      switch try GpioCommand(line) {
      case .set(let line, let isHigh):
        setInput(line, isHigh)
        return "ok"
      case .get(let line): return "in \(line) \(inputs >> UInt16(line) & 1)"
      case .inputs: return "inputs \(hexadecimal(inputs))"
      case .outputs: return "outputs \(hexadecimal(outputs))"
      }
    } catch {
      return "error \(error.text)"
    }
  }

  private func setInput(_ line: Int, _ isHigh: Bool) {
    let mask: UInt16 = 1 << UInt16(line)
    let levels = isHigh ? inputs | mask : inputs & ~mask
    guard levels != inputs else { return }
    inputs = levels
    guard isInterruptEnabled else { return }
    registers[.interruptStatus] |=
      Status.pending | (line < 8 ? Status.lowInputs : Status.highInputs)
    updateInterrupt()
  }

  private func hexadecimal(_ levels: UInt16) -> String {
    let digits = String(levels, radix: 16)
    return "0x" + String(repeating: "0", count: 4 - digits.count) + digits
  }
}
