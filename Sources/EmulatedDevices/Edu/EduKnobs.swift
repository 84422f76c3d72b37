import DeviceModel

/// What can be configured about `edu`.
enum EduKnobs {
  static let dmaMask = Knob(
    "dma-mask", default: 0x0fff_ffff, in: 0...Int.max,
    "The address bits that the DMA engine drives; higher ones are cut off. 28 bits, as the original has, by default."
  )
  static let factorialDelay = Knob(
    "factorial-microseconds", default: 100, in: 0...10_000_000,
    "How long the device is busy with a factorial, in microseconds.")
  /// How the registers wish to be reached.
  enum Path: String, CaseIterable, Sendable {
    case message, ioregionfd
  }

  static let path = Knob(
    "path", default: Path.message,
    "How clients are asked to reach the registers: by messages, or over a descriptor of their own.")

  static let all: [any KnobDeclaration] = [dmaMask, factorialDelay, path]
}
