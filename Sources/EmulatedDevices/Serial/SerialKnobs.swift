import DeviceModel

/// What can be configured about `serial`.
enum SerialKnobs {
  static let lineStatusWait = Knob(
    "lsr-wait-milliseconds", default: 100, in: 0...100,
    "How long a read of LSR may wait for room on the host, in milliseconds; 0 answers at once.")

  static let all: [any KnobDeclaration] = [lineStatusWait]
}
