import DeviceModel

/// What a driver can discover about `serial`.
enum SerialHardware {
  static func describe(_ knobs: KnobValues) throws -> PCIHardware {
    PCIHardware(
      identity: PCIIdentity(
        vendor: 0x1b36, device: 0x0002, subsystemVendor: 0x1af4, subsystem: 0x1100, revision: 0x01,
        classCode: .serial16550),
      bars: [BAR(0, .io, byteCount: 8, [try .registers(UART16550Register.self)])],
      interrupts: PCIInterrupts(pin: .a))
  }
}
