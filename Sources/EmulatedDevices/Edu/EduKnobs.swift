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

  static let all: [any KnobDeclaration] = [dmaMask, factorialDelay]
}
