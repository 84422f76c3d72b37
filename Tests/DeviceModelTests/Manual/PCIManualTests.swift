import Testing

@testable import DeviceModel

private enum PortRegister: Int, RegisterMap {
  case data
  var declaration: Register {
    Register("DATA", "Data", at: 0, bytes: 1, .readWrite, "What the port drives.")
  }
}

private let port = PCIDeviceDeclaration(
  name: "port", summary: "A port for tests.", discussion: "It drives nothing.",
  knobs: [Knob("vectors", default: 4, in: 1...2048, "How many MSI-X vectors there are.")],
  backend: BackendRequirement(kind: "lines", "The far end of the port.")
) { knobs in
  PCIHardware(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0abc, revision: 2,
      classCode: PCIClassCode(base: 0x07, sub: 0x80)),
    bars: [
      BAR(0, .io, byteCount: 16, [try .registers(PortRegister.self, smallestAccess: 1)]),
      BAR(
        2, .memory64, byteCount: 1 << 16,
        [.memory("scratch", at: 0x8000, byteCount: 4096, "Holds what the driver likes.")],
        summary: "Vectors and memory."),
    ],
    interrupts: PCIInterrupts(
      pin: .a, msi: .init(vectorCount: 1),
      msix: .init(
        vectorCount: 4, table: .bar(2, at: 0), pendingBits: .bar(2, at: 0x4000))))
}

@Suite("Manuals of PCI devices")
struct PCIManualTests {
  @Test("Q8: the manual of a PCI device covers identity, windows, capabilities and registers")
  func text() throws {
    let manual = try port.manual(backends: [ManualBackend("unix:PATH", "Lines of text.")])
    try manual.validate()
    #expect(manual.text() == goldenPortText)
  }
}
