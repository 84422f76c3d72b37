/// The bits of the Line Status register.
struct LineStatus: OptionSet {
  let rawValue: UInt8
  static let dataReady = LineStatus(rawValue: 0x01)
  static let overrun = LineStatus(rawValue: 0x02)
  static let parityError = LineStatus(rawValue: 0x04)
  static let framingError = LineStatus(rawValue: 0x08)
  static let breakReceived = LineStatus(rawValue: 0x10)
  static let transmitterHoldingEmpty = LineStatus(rawValue: 0x20)
  static let transmitterEmpty = LineStatus(rawValue: 0x40)
  static let fifoError = LineStatus(rawValue: 0x80)

  /// The errors of one character.
  static let characterErrors: LineStatus = [.parityError, .framingError, .breakReceived]
  /// What the line status interrupt reports.
  static let errors: LineStatus = [.overrun, .parityError, .framingError, .breakReceived]
}

/// The bits of the Modem Status register.
struct ModemStatus: OptionSet {
  let rawValue: UInt8
  static let clearToSend = ModemStatus(rawValue: 0x10)
  static let dataSetReady = ModemStatus(rawValue: 0x20)
  static let ringIndicator = ModemStatus(rawValue: 0x40)
  static let carrierDetect = ModemStatus(rawValue: 0x80)

  /// The change bits.
  static let changes = ModemStatus(rawValue: 0x0f)
  /// The inputs.
  static let inputs = ModemStatus(rawValue: 0xf0)
  /// What a line with somebody at its other end shows.
  static let connected: ModemStatus = [.clearToSend, .dataSetReady, .carrierDetect]

  /// The inputs that Modem Control's outputs become in loopback.
  init(loopbackOf control: ModemControl) {
    self = []
    if control.contains(.dataTerminalReady) { insert(.dataSetReady) }
    if control.contains(.requestToSend) { insert(.clearToSend) }
    if control.contains(.output1) { insert(.ringIndicator) }
    if control.contains(.output2) { insert(.carrierDetect) }
  }

  init(rawValue: UInt8) { self.rawValue = rawValue }

  /// These inputs, with the change bits that going from `self` to them adds.
  func changed(to inputs: ModemStatus) -> ModemStatus {
    var changes = rawValue & Self.changes.rawValue
    let difference = (rawValue ^ inputs.rawValue) & Self.inputs.rawValue
    changes |= difference >> 4
    // RI is noticed only when it goes off.
    if inputs.contains(.ringIndicator), !contains(.ringIndicator) {
      changes = (changes & ~0x04) | (rawValue & 0x04)
    }
    return ModemStatus(rawValue: inputs.rawValue | changes)
  }
}

/// The bits of the Modem Control register.
struct ModemControl: OptionSet {
  let rawValue: UInt8
  static let dataTerminalReady = ModemControl(rawValue: 0x01)
  static let requestToSend = ModemControl(rawValue: 0x02)
  static let output1 = ModemControl(rawValue: 0x04)
  static let output2 = ModemControl(rawValue: 0x08)
  static let loopback = ModemControl(rawValue: 0x10)
}

/// The bits of the Interrupt Enable register.
struct InterruptEnable: OptionSet {
  let rawValue: UInt8
  static let receivedData = InterruptEnable(rawValue: 0x01)
  static let transmitterEmpty = InterruptEnable(rawValue: 0x02)
  static let lineStatus = InterruptEnable(rawValue: 0x04)
  static let modemStatus = InterruptEnable(rawValue: 0x08)
}

/// The causes of an interrupt, as Interrupt Identification shows them.
enum InterruptCause: UInt8 {
  case none = 0x1
  case lineStatus = 0x6
  case receivedData = 0x4
  case characterTimeout = 0xc
  case transmitterEmpty = 0x2
  case modemStatus = 0x0
}
