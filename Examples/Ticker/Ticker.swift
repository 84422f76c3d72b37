import DeviceModel
import DeviceProgram

enum TickerRegister: Int, RegisterMap {
  case period, count

  var declaration: Register {
    switch self {
    case .period:
      Register(
        "PERIOD", "Period", at: 0x0, bytes: 4, .readWrite, effects: .write,
        "Milliseconds from one tick to the next; 0 stops the ticker.")
    case .count:
      Register(
        "COUNT", "Tick Count", at: 0x4, bytes: 4, .readToClear, effects: .read,
        "Ticks since the last read, which also ends the interrupt.")
    }
  }
}

final class Ticker: PCIDevice {
  static let shortest = Knob(
    "shortest-period", default: 1, in: 1...1000, "The shortest period, in milliseconds.")
  static let declaration = PCIDeviceDeclaration(
    name: "ticker", summary: "A timer that interrupts.", knobs: [shortest]
  ) { _ in
    PCIHardware(
      identity: PCIIdentity(vendor: 0x1234, device: 0x7163),
      bars: [BAR(0, .memory32, byteCount: 4096, [try .registers(TickerRegister.self)])],
      interrupts: PCIInterrupts(pin: .a, msi: .init()))
  }

  private unowned let function: PCIFunction
  private let registers: RegisterBlock<TickerRegister>
  private let interrupt: PCIInterruptLine
  private var next: ScheduledWork?

  init(_ function: PCIFunction) throws {
    self.function = function
    registers = try function.registers(TickerRegister.self)
    interrupt = function.interruptLine()
    registers.effect = { [unowned self] access throws(Errno) in
      if access.isWrite { restart() } else { interrupt.lower() }
    }
  }

  func reset(_ kind: ResetKind) { next = nil }

  private func restart() {
    next?.cancel()
    guard registers[.period] > 0 else { return }
    let period = max(Int(registers[.period]), function.knobs[Self.shortest])
    next = function.after(.milliseconds(period)) { [unowned self] in
      registers[.count] += 1
      interrupt.raise()
      restart()
    }
  }
}

@main struct TickerProgram: DeviceProgram {
  typealias Device = Ticker
}
