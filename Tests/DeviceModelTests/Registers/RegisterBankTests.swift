import DeviceModel
import Testing
import VFIOUser

/// The first registers of a 16550: two directions at one offset, and a bank.
private enum UARTRegister: Int, RegisterMap {
  case receive, transmit, enable, divisorLow, divisorHigh, lineControl

  static let data = RegisterBank(0, "LCR.DLAB is 0")
  static let divisor = RegisterBank(1, "LCR.DLAB is 1")

  var declaration: Register {
    switch self {
    case .receive:
      Register(
        "RBR", "Receiver Buffer", at: 0, bytes: 1, .readOnly, effects: .read, bank: Self.data, "In."
      )
    case .transmit:
      Register(
        "THR", "Transmitter Holding", at: 0, bytes: 1, .writeOnly, effects: .write, bank: Self.data,
        "Out.")
    case .enable:
      Register("IER", "Interrupt Enable", at: 1, bytes: 1, .readWrite, bank: Self.data, "Masks.")
    case .divisorLow:
      Register("DLL", "Divisor, low", at: 0, bytes: 1, .readWrite, bank: Self.divisor, "Low.")
    case .divisorHigh:
      Register("DLM", "Divisor, high", at: 1, bytes: 1, .readWrite, bank: Self.divisor, "High.")
    case .lineControl:
      Register("LCR", "Line Control", at: 3, bytes: 1, .readWrite, effects: .write, "Frame, DLAB.")
    }
  }
}

@Suite("Register banks and directions")
struct RegisterBankTests {
  private let block: RegisterBlock<UARTRegister>

  init() throws {
    block = try RegisterBlock()
    block.effect = { [unowned block] effect in
      switch UARTRegister(effect) {
      case .receive: effect.value = 0x41
      case .lineControl:
        block.selectBank(effect.value & 0x80 != 0 ? UARTRegister.divisor : UARTRegister.data)
      default: break
      }
    }
  }

  @Test("E1: reads and writes at one offset reach different registers")
  func directions() throws {
    try block.write(0x58, 0, bytes: 1)
    #expect(block[.transmit] == 0x58)
    #expect(try block.read(0, bytes: 1) == 0x41)
    #expect(block.name(at: RegionOffset(0)) == "RBR")
    #expect(block.name(at: RegionOffset(0), isWrite: true) == "THR")
  }

  @Test("E1: a selected bank hides what it replaces and keeps what every bank shows")
  func banks() throws {
    try block.write(0x83, 3, bytes: 1)
    try block.write(0x0201, 0, bytes: 2)
    #expect(block[.divisorLow] == 1)
    #expect(block[.divisorHigh] == 2)
    #expect(block[.enable] == 0)
    #expect(try block.read(3, bytes: 1) == 0x83)
    try block.write(0x03, 3, bytes: 1)
    #expect(try block.read(0, bytes: 1) == 0x41)
    #expect(block[.divisorHigh] == 2)
  }

  @Test("E1: a bank selected in the middle of a split access holds for its rest")
  func selectsMidAccess() throws {
    // Byte 3 selects the divisor bank; nothing is beyond it, but the next access sees it.
    try block.write(0x8000_0305, 0, bytes: 4)
    #expect(block[.enable] == 3)
    #expect(try block.read(0, bytes: 1) == 0)
  }

  @Test("E1: a reset selects bank 0")
  func resetSelectsBankZero() throws {
    try block.write(0x80, 3, bytes: 1)
    block.reset()
    #expect(block.selectedBankIndex == 0)
    #expect(try block.read(0, bytes: 1) == 0x41)
  }
}

private enum StickyRegister: Int, RegisterMap {
  case plain, sticky
  var declaration: Register {
    switch self {
    case .plain: Register("P", "Plain", at: 0, bytes: 4, .readWrite, reset: 1, "Resets.")
    case .sticky:
      Register("S", "Sticky", at: 4, bytes: 4, .readWrite, reset: 2, survivesReset: true, "Stays.")
    }
  }
}

@Suite("Register reset")
struct RegisterResetTests {
  @Test("E9: a reset restores reset values, except in registers that survive it")
  func sticky() throws {
    let block = try RegisterBlock<StickyRegister>()
    try block.write(0x0000_0008_0000_0007, 0, bytes: 8)
    block.reset()
    #expect(block[.plain] == 1)
    #expect(block[.sticky] == 8)
    block.reset(includingSticky: true)
    #expect(block[.sticky] == 2)
  }
}
