import DeviceModel

/// What a driver can discover about `gpio`.
enum GpioHardware {
  /// The window of the registers; the card's bus bridge has the two before it.
  static let registerBAR = 2

  static func describe(_ knobs: KnobValues) throws -> PCIHardware {
    PCIHardware(
      identity: PCIIdentity(
        vendor: 0x494f, device: 0x0dc8, classCode: .signalProcessingOther),
      bars: [
        BAR(registerBAR, .io, byteCount: 8, [try .registers(GpioRegister.self, byteCount: 8)])
      ],
      interrupts: PCIInterrupts(pin: .a))
  }
}
