import DeviceModel

/// The registers of ``PathDevice``, which are reached by messages.
enum PathRegister: Int, RegisterMap {
  case identification, rings, forget

  var declaration: Register {
    switch self {
    case .identification:
      Register("ID", "Identification", at: 0, bytes: 4, .readOnly, reset: 0x5566_7788, "Fixed.")
    case .rings: Register("RINGS", "Rings", at: 4, bytes: 4, .readOnly, "Rings of the doorbells.")
    case .forget:
      Register(
        "FORGET", "Forget", at: 8, bytes: 4, .writeOnly, effects: .write,
        "From now on the port is reached by messages.")
    }
  }
}

/// A device one BAR of which is reached in every way: registers by messages (0), memory over a descriptor
/// (0x1000), shared memory (0x2000), and doorbells that are eventfds (0x3000, and 0x3004 for the value 7).
final class PathDevice: PCIDevice {
  static let declaration = PCIDeviceDeclaration(name: "path", summary: "For tests.") { _ in
    PCIHardware(
      identity: PCIIdentity(vendor: 0x1234, device: 0x0013),
      bars: [
        BAR(
          0, .memory32, byteCount: 1 << 14,
          [
            try .registers(PathRegister.self),
            .memory("Port", at: 0x1000, byteCount: 0x1000, "Holds what is written.")
              .reached(by: .ioregionfd(postsWrites: false)),
            .sharedMemory("Shared", at: 0x2000, byteCount: 0x1000, "Holds what is written."),
            .handler("Doorbells", at: 0x3000, byteCount: 16, "Count.")
              .reached(by: .ioeventfd(matching: nil), at: 0, byteCount: 4)
              .reached(by: .ioeventfd(matching: 7), at: 4, byteCount: 4),
          ])
      ])
  }

  init(_ function: PCIFunction) throws {
    let registers = try function.registers(PathRegister.self)
    try function.setHandler(Doorbells(registers), for: "Doorbells", in: 0)
    registers.effect = { [unowned function] access throws(Errno) in
      guard PathRegister(access) == .forget else { return }
      do { try function.setPaths(of: "Port", in: 0, []) } catch { throw .invalidArgument }
    }
  }

  func reset(_ kind: ResetKind) {}

  /// Counts writes, however they come.
  private final class Doorbells: RegionHandler {
    private let registers: RegisterBlock<PathRegister>

    init(_ registers: RegisterBlock<PathRegister>) { self.registers = registers }

    func read(
      at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {}

    func write(
      at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
    ) throws(Errno) {
      registers[.rings] += 1
    }
  }
}
