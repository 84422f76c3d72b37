import DeviceModel

private enum PumpRegister: Int, RegisterMap {
  case identification, control, level, divisor, channel

  var declaration: Register {
    switch self {
    case .identification:
      Register(
        "ID", "Identification", at: 0x00, bytes: 4, .readOnly, reset: 0x0100_00ed,
        "Version and magic.",
        [Field("Major", 24...31, "Major version."), Field("Magic", 0...7, "Always 0xed.")])
    case .control:
      Register(
        "CTL", "Control", at: 0x04, bytes: 2, .readWrite, effects: .write, survivesReset: true,
        "Starts and stops the pump. A stopped pump keeps its level; a started one raises the level by"
          + " one each second until it is full.",
        [
          Field("FULL", 1, .writeOneToClear, "The pump has filled the tank; write 1 to forget it."),
          Field("RUN", 0, "Whether it runs.", meanings: [0: "stopped.", 1: "running."]),
        ])
    case .level:
      Register("LVL", "Level", at: 0x08, bytes: 1, .readOnly, effects: .read, "How full it is.")
    case .divisor:
      Register(
        "DIV", "Divisor", at: 0x08, bytes: 1, .writeOnly, bank: RegisterBank(1, "CTL.RUN is 0"),
        "Slows the pump down.")
    case .channel:
      Register(
        "CH", "Channel", at: 0x10, bytes: 4, .readWrite, array: RegisterArray(count: 4, stride: 8),
        "One valve | one channel.")
    }
  }
}

private enum Fluid: String, CaseIterable, Sendable { case water, oil }

/// A manual with everything in it that a manual can have.
let sampleManual = DeviceManual(
  name: "pump", summary: "A pump for tests, which fills a tank that does not exist.",
  sections: [
    ManualSection(
      "Bus",
      facts: [.init("Vendor", "1234"), .init("Class code", "ff0000")],
      columns: ["Region", "Size"], rows: [["0", "48"], ["1", "4096"]],
      notes: ["Resets of every kind are alike."])
  ],
  knobs: [
    Knob("fluid", default: Fluid.water, "What is pumped."),
    Knob("tank", defaultByteCount: 65536, in: 4096...1 << 20, "How much the tank holds."),
    Knob("label", default: "", "A name for logs."),
  ],
  backends: [
    ManualBackend("file:PATH", "Each level is appended to this file."),
    ManualBackend("unix:PATH", "Levels go to whoever listens on this socket."),
  ],
  registers: [
    RegisterSheet(
      "region 0", PumpRegister.self, byteCount: 0x30,
      notes: "Accesses wider than a register are split.")
  ])
