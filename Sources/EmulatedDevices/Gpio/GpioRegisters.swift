import DeviceModel

/// The registers of `gpio`: eight bytes in BAR 2, of which some mean another thing when written.
///
/// Source: ACCES PCI-IDIO-16 user manual, chapter 5; Linux, `drivers/gpio/gpio-idio-16.c`.
public enum GpioRegister: Int, RegisterMap {
  /// Outputs 0 to 7.
  case lowOutputs
  /// Inputs 0 to 7.
  case lowInputs
  /// Clears the interrupt.
  case clearInterrupt
  /// Enables or disables the interrupt.
  case interruptControl
  /// Turns the input filters on or off.
  case filterControl
  /// Outputs 8 to 15.
  case highOutputs
  /// Inputs 8 to 15.
  case highInputs
  /// Why it interrupts.
  case interruptStatus

  /// What the register is.
  public var declaration: Register {
    switch self {
    case .lowOutputs:
      Register(
        "OUT0", "Outputs 0-7", at: 0, bytes: 1, .readWrite, effects: .write,
        "The levels of output lines 0 to 7, a bit each.")
    case .lowInputs:
      Register(
        "IN0", "Inputs 0-7", at: 1, bytes: 1, .readOnly, effects: .read,
        "The levels of input lines 0 to 7, a bit each.")
    case .clearInterrupt:
      Register(
        "CLEAR", "Clear Interrupt", at: 1, bytes: 1, .writeOnly, effects: .write,
        "Writing any value clears Interrupt Status and releases the interrupt.")
    case .interruptControl:
      Register(
        "ICTL", "Interrupt Control", at: 2, bytes: 1, .readOnly, effects: [.read, .write],
        """
        Reading enables the change-of-state interrupt, writing any value disables it. Reads 0. Changes while it is \
        disabled are not remembered.
        """)
    case .filterControl:
      Register(
        "FILTER", "Filter Control", at: 3, bytes: 1, .readOnly, effects: [.read, .write],
        """
        Reading turns the input filters on, writing any value turns them off. Reads 0. The inputs of this device never \
        bounce, so the filters change nothing.
        """)
    case .highOutputs:
      Register(
        "OUT1", "Outputs 8-15", at: 4, bytes: 1, .readWrite, effects: .write,
        "The levels of output lines 8 to 15, a bit each.")
    case .highInputs:
      Register(
        "IN1", "Inputs 8-15", at: 5, bytes: 1, .readOnly, effects: .read,
        "The levels of input lines 8 to 15, a bit each.")
    case .interruptStatus:
      Register(
        "ISTS", "Interrupt Status", at: 6, bytes: 1, .readOnly,
        "Why the device interrupts. The interrupt is asserted while Pending is set and it is enabled.",
        [
          Field("Low inputs", 0, "An input of 0 to 7 has changed."),
          Field("High inputs", 1, "An input of 8 to 15 has changed."),
          Field("Pending", 2, "Any input has changed since the interrupt was cleared."),
        ])
    }
  }
}
