import DeviceModel
import Testing

// How to write a register block, from the declaration to a guest's access: a countdown timer.

/// Each register is declared once. The manual, reset, access rules, names in traces and saved state
/// all come from here.
private enum TimerRegister: Int, RegisterMap {
  case control, interval, remaining, status

  var declaration: Register {
    switch self {
    case .control:
      Register(
        "CTL", "Control", at: 0x0, bytes: 4, .readWrite, effects: .write, "Starts the timer.",
        [Field("RUN", 0, "Writing 1 loads the interval and starts; writing 0 stops.")])
    case .interval:
      Register(
        "IVL", "Interval", at: 0x4, bytes: 4, .readWrite, reset: 10, "How many ticks it runs.")
    case .remaining:
      Register(
        "REM", "Remaining", at: 0x8, bytes: 4, .readOnly, effects: .read, "Ticks still to go.")
    case .status:
      Register(
        "STS", "Status", at: 0xc, bytes: 1, .writeOneToClear, effects: .write, "What happened.",
        [Field("DONE", 0, "The timer has run out; write 1 to forget it.")])
    }
  }
}

/// The device: state, one closure for what accesses do, and the hardware's own side.
private final class Timer {
  static let maximum = Knob(
    "maximum", default: 100, in: 1...1000, "The longest interval, in ticks; more is refused.")

  let registers: RegisterBlock<TimerRegister>
  let line = InterruptLine()
  private let maximum: Int
  private var ticksLeft: UInt64 = 0

  init(_ knobs: KnobValues) throws(DeclarationError) {
    maximum = knobs[Self.maximum]
    registers = try RegisterBlock()
    registers.effect = { [unowned self] access throws(Errno) in
      switch TimerRegister(access) {
      case .control where access.value & 1 == 1:
        guard registers[.interval] <= maximum else { throw .invalidArgument }
        ticksLeft = registers[.interval]
      case .control: ticksLeft = 0
      case .remaining: access.value = ticksLeft
      case .status: line.set(registers[.status] & 1 == 1)
      case .interval: break
      }
    }
  }

  func tick() {
    guard ticksLeft > 0 else { return }
    ticksLeft -= 1
    guard ticksLeft == 0 else { return }
    registers[.control] &= ~1
    registers[.status] |= 1
    line.set(true)
  }
}

@Suite("A newcomer's register block")
struct NewcomerTests {
  @Test("E8: a device is declarations, one closure and its own logic")
  func timer() throws {
    var knobs = try KnobValues(device: "timer", declaring: [Timer.maximum])
    try knobs.set("maximum=50")
    knobs.fix()
    let timer = try Timer(knobs)
    let block = timer.registers

    // What a guest's driver does, at any width.
    try block.store(3 as UInt32, at: RegionOffset(0x4))
    try block.store(1 as UInt8, at: RegionOffset(0x0))
    #expect(try block.load(at: RegionOffset(0x8), as: UInt32.self) == 3)
    timer.tick()
    #expect(try block.load(at: RegionOffset(0x8), as: UInt16.self) == 2)
    timer.tick()
    timer.tick()
    #expect(timer.line.isAsserted)
    #expect(try block.load(at: RegionOffset(0xc), as: UInt8.self) == 1)
    try block.store(1 as UInt8, at: RegionOffset(0xc))
    #expect(!timer.line.isAsserted)

    // An error is the access's answer, and the register keeps its value.
    try block.store(51 as UInt32, at: RegionOffset(0x4))
    #expect(throws: Errno.invalidArgument) { try block.store(1 as UInt32, at: RegionOffset(0x0)) }
    #expect(block[.control] == 0)
  }
}
