import DeviceModel

/// The registers of `edu`, all in BAR 0.
///
/// Source: QEMU, `docs/specs/edu.rst`.
public enum EduRegister: Int, RegisterMap {
  /// Version and magic number.
  case identification
  /// Inverts what is written.
  case liveness
  /// Takes a number, gives its factorial.
  case factorial
  /// Whether a factorial is being computed, and whether its end interrupts.
  case status
  /// The causes of the interrupt.
  case interruptStatus
  /// Adds causes.
  case interruptRaise
  /// Removes causes.
  case interruptAcknowledge
  /// Where the DMA engine reads.
  case dmaSource
  /// Where the DMA engine writes.
  case dmaDestination
  /// How many bytes it moves.
  case dmaCount
  /// Starts it.
  case dmaCommand

  /// What the register is.
  public var declaration: Register {
    switch self {
    case .identification:
      Register(
        "ID", "Identification", at: 0x00, bytes: 4, .readOnly, reset: 0x0100_00ed,
        "Tells the device and its version.",
        [
          Field("Major", 24...31, "The major version."),
          Field("Minor", 16...23, "The minor version."),
          Field("Magic", 0...7, "Always 0xed."),
        ])
    case .liveness:
      Register(
        "LIVE", "Liveness Check", at: 0x04, bytes: 4, .readWrite, effects: .write,
        "Reads as the bitwise inverse of what was written last; 0 before the first write.")
    case .factorial:
      Register(
        "FACT", "Factorial", at: 0x08, bytes: 4, .readWrite, effects: .write,
        "Write n, and read n! modulo 2 to the 32nd once Computing is clear. Writes are ignored while it is set."
      )
    case .status:
      Register(
        "STS", "Status", at: 0x20, bytes: 4, .readOnly, "The state of the factorial unit.",
        [
          Field("Computing", 0, "A factorial is being computed."),
          Field("Interrupt", 7, .readWrite, "Raise interrupt cause 0x1 when a factorial is ready."),
        ])
    case .interruptStatus:
      Register(
        "ISTS", "Interrupt Status", at: 0x24, bytes: 4, .readOnly,
        "The causes of the interrupt. It is asserted while any bit is set.",
        [
          Field("Factorial", 0, "A factorial is ready."),
          Field("DMA", 8, "A transfer has ended."),
        ])
    case .interruptRaise:
      Register(
        "IRAISE", "Interrupt Raise", at: 0x60, bytes: 4, .writeOnly, effects: .write,
        "Sets the written bits in Interrupt Status and interrupts.")
    case .interruptAcknowledge:
      Register(
        "IACK", "Interrupt Acknowledge", at: 0x64, bytes: 4, .writeOnly, effects: .write,
        "Clears the written bits in Interrupt Status; the interrupt is released when none is left.")
    case .dmaSource:
      Register(
        "DSRC", "DMA Source", at: 0x80, bytes: 8, .readWrite, effects: .write,
        "Where to read: a guest address, or 0x40000 to 0x40fff for the device's buffer. Fixed while a transfer runs."
      )
    case .dmaDestination:
      Register(
        "DDST", "DMA Destination", at: 0x88, bytes: 8, .readWrite, effects: .write,
        "Where to write, like DMA Source. Fixed while a transfer runs.")
    case .dmaCount:
      Register(
        "DCNT", "DMA Count", at: 0x90, bytes: 8, .readWrite, effects: .write,
        "How many bytes to move, at most the 4096 of the buffer. Fixed while a transfer runs.")
    case .dmaCommand:
      Register(
        "DCMD", "DMA Command", at: 0x98, bytes: 8, .readWrite, effects: .write,
        "Starts a transfer. A write without Run, or while a transfer runs, is ignored.",
        [
          Field("Run", 0, "Starts a transfer; clear again when it has ended."),
          Field(
            "Direction", 1,
            "0 moves from guest memory to the buffer, 1 from the buffer to guest memory."),
          Field("Interrupt", 2, "Raise interrupt cause 0x100 when the transfer has ended."),
        ])
    }
  }
}
