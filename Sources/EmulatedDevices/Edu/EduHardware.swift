import DeviceModel

/// What a driver can discover about `edu`.
enum EduHardware {
  /// The size of BAR 0 in bytes.
  static let windowByteCount: UInt64 = 1 << 20

  static func describe(_ knobs: KnobValues) throws -> PCIHardware {
    let registers = try BARContent.registers(
      EduRegister.self, byteCount: Int(windowByteCount),
      notes: """
        Aligned accesses of 4 bytes; 8 bytes are allowed from 0x80 on. What no register \
        answers reads as all ones; other accesses read 0.
        """)
    let isDirect = knobs[EduKnobs.path] == .ioregionfd
    return PCIHardware(
      identity: PCIIdentity(
        vendor: 0x1234, device: 0x11e8, subsystemVendor: 0x1af4, subsystem: 0x1100,
        revision: 0x10, classCode: PCIClassCode(base: 0x00, sub: 0xff)),
      bars: [
        BAR(
          0, .memory32, byteCount: windowByteCount,
          [isDirect ? registers.reached(by: .ioregionfd(postsWrites: false)) : registers])
      ],
      interrupts: PCIInterrupts(pin: .a, msi: .init(vectorCount: 1, is64Bit: true)))
  }
}
