import DeviceModel

/// The registers of a 16550A: eight bytes, some of which change with DLAB and with the direction.
///
/// Source: National Semiconductor PC16550D data sheet, section 8.
public enum UART16550Register: Int, RegisterMap {
  /// What was received.
  case receiverBuffer
  /// What is to be sent.
  case transmitterHolding
  /// Which causes interrupt.
  case interruptEnable
  /// The cause of the interrupt.
  case interruptIdentification
  /// The FIFOs.
  case fifoControl
  /// The form of a character, and DLAB.
  case lineControl
  /// Modem outputs and loopback.
  case modemControl
  /// The state of transmission and reception.
  case lineStatus
  /// Modem inputs.
  case modemStatus
  /// A byte for the driver.
  case scratch
  /// The low half of the divisor.
  case divisorLow
  /// The high half of the divisor.
  case divisorHigh

  /// The ordinary registers at offsets 0 and 1.
  public static let ordinary = RegisterBank(0, "LCR.DLAB is 0")
  /// The divisor at offsets 0 and 1.
  public static let divisor = RegisterBank(1, "LCR.DLAB is 1")

  /// What the register is.
  public var declaration: Register {
    switch self {
    case .receiverBuffer:
      Register(
        "RBR", "Receiver Buffer", at: 0, bytes: 1, .readOnly, effects: .read, bank: Self.ordinary,
        "The oldest received character; reading takes it out of the FIFO. Without one, the last again."
      )
    case .transmitterHolding:
      Register(
        "THR", "Transmitter Holding", at: 0, bytes: 1, .writeOnly, effects: .write,
        bank: Self.ordinary,
        """
        Sends a character. It goes to the host at once, or into the 16-byte FIFO while the host has no room; a \
        character written when that is full is dropped and counted. A driver that waits for LSR.THRE, and then \
        writes at most 16 characters, never loses one.
        """)
    case .interruptEnable:
      Register(
        "IER", "Interrupt Enable", at: 1, bytes: 1, .readOnly, effects: .write,
        bank: Self.ordinary, "Which causes assert the interrupt.", Self.interruptEnableFields)
    case .interruptIdentification:
      Register(
        "IIR", "Interrupt Identification", at: 2, bytes: 1, .readOnly, reset: 0x01, effects: .read,
        "The cause of highest priority. Reading it as THR empty clears that cause.",
        [
          Field(
            "Cause", 0...3, "The cause of highest priority.",
            meanings: [
              0x1: "none", 0x6: "line status", 0x4: "received data", 0xc: "character time-out",
              0x2: "THR empty", 0x0: "modem status",
            ]),
          Field("FIFOs", 6...7, "3 while the FIFOs are enabled, else 0."),
        ])
    case .fifoControl:
      Register(
        "FCR", "FIFO Control", at: 2, bytes: 1, .writeOnly, effects: .write,
        "Controls the FIFOs. Without Enable the other bits do nothing.", Self.fifoControlFields)
    case .lineControl:
      Register(
        "LCR", "Line Control", at: 3, bytes: 1, .readWrite, effects: .write,
        "The form of a character, which matters for time-outs only, and DLAB.",
        Self.lineControlFields)
    case .modemControl:
      Register(
        "MCR", "Modem Control", at: 4, bytes: 1, .readOnly, effects: .write,
        "The modem outputs, which lead nowhere, and loopback.", Self.modemControlFields)
    case .lineStatus:
      Register(
        "LSR", "Line Status", at: 5, bytes: 1, .readOnly, reset: 0x60, effects: .read,
        """
        The state of the line. While the host has no room and nothing was received, a read is answered late: \
        when that changes, or after the time of the knob lsr-wait-milliseconds.
        """, Self.lineStatusFields)
    case .modemStatus:
      Register(
        "MSR", "Modem Status", at: 6, bytes: 1, .readOnly, effects: .read,
        """
        The modem inputs. DCD, DSR and CTS are on while somebody is at the other end of the line; in loopback \
        they are the outputs. Reading clears the change bits.
        """, Self.modemStatusFields)
    case .scratch:
      Register("SCR", "Scratch", at: 7, bytes: 1, .readWrite, "A byte that the driver may use.")
    case .divisorLow:
      Register(
        "DLL", "Divisor Latch Low", at: 0, bytes: 1, .readWrite, reset: 0x01, bank: Self.divisor,
        "The low byte of the divisor of 115200 baud. Characters are not slowed down to the rate.")
    case .divisorHigh:
      Register(
        "DLM", "Divisor Latch High", at: 1, bytes: 1, .readWrite, bank: Self.divisor,
        "The high byte of the divisor.")
    }
  }

  private static var interruptEnableFields: [Field] {
    [
      Field("Received data", 0, .readWrite, "Received data, and the character time-out."),
      Field("THR empty", 1, .readWrite, "The transmitter takes characters."),
      Field("Line status", 2, .readWrite, "Overrun, parity and framing errors, and breaks."),
      Field("Modem status", 3, .readWrite, "A change of a modem input."),
    ]
  }

  private static var fifoControlFields: [Field] {
    [
      Field("Enable", 0, "Enables both FIFOs; a change empties them."),
      Field("Clear receiver", 1, "Empties the receiver FIFO; clears itself."),
      Field("Clear transmitter", 2, "Empties the transmitter FIFO; clears itself."),
      Field("DMA mode", 3, "Kept, but does nothing: there are no DMA pins."),
      Field(
        "Trigger", 6...7, "How many received characters interrupt.",
        meanings: [0: "1", 1: "4", 2: "8", 3: "14"]),
    ]
  }

  private static var lineControlFields: [Field] {
    [
      Field("Word length", 0...1, "Data bits of a character, minus 5."),
      Field("Stop bits", 2, "1: a second stop bit."),
      Field("Parity", 3, "A parity bit."),
      Field("Even parity", 4, "Kept only."),
      Field("Stick parity", 5, "Kept only."),
      Field("Break", 6, "In loopback, setting it receives a break; otherwise it is kept only."),
      Field("DLAB", 7, "Shows the divisor at offsets 0 and 1."),
    ]
  }

  private static var modemControlFields: [Field] {
    [
      Field("DTR", 0, .readWrite, "Data terminal ready; DSR in loopback."),
      Field("RTS", 1, .readWrite, "Request to send; CTS in loopback."),
      Field("OUT1", 2, .readWrite, "Output 1; RI in loopback."),
      Field("OUT2", 3, .readWrite, "Output 2; DCD in loopback. It does not gate the interrupt."),
      Field(
        "Loop", 4, .readWrite,
        "Loopback: what is sent is received, outputs are inputs, and the host is cut off."),
    ]
  }

  private static var lineStatusFields: [Field] {
    [
      Field("DR", 0, "Data ready: a received character waits."),
      Field("OE", 1, "Overrun: a character found no room (loopback only). Cleared by reading."),
      Field("PE", 2, "Parity error of the oldest character; never on a host's stream."),
      Field("FE", 3, "Framing error of the oldest character; never on a host's stream."),
      Field("BI", 4, "Break: the oldest character is one. Cleared by reading."),
      Field("THRE", 5, "The transmitter FIFO is empty: write up to 16 characters."),
      Field("TEMT", 6, "Everything written has gone to the host."),
      Field("FIFO error", 7, "An error or a break is somewhere in the receiver FIFO."),
    ]
  }

  private static var modemStatusFields: [Field] {
    [
      Field("DCTS", 0, "CTS has changed."),
      Field("DDSR", 1, "DSR has changed."),
      Field("TERI", 2, "RI has gone off."),
      Field("DDCD", 3, "DCD has changed."),
      Field("CTS", 4, "Clear to send."),
      Field("DSR", 5, "Data set ready."),
      Field("RI", 6, "Ring indicator."),
      Field("DCD", 7, "Data carrier detect."),
    ]
  }
}
