import DeviceModel

/// What can be configured about `gpio`.
enum GpioKnobs {
  static let inputs = Knob(
    "inputs", default: 0, in: 0...0xffff,
    "The levels of the input lines at power-on, bit n for line n.")

  static let all: [any KnobDeclaration] = [inputs]
}
