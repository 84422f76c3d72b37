import DeviceModel

/// The registers of ``PinDevice``, at the start of its memory window.
enum PinRegister: Int, RegisterMap {
  case identification, scratch, raise, lower, level

  var declaration: Register {
    switch self {
    case .identification:
      Register("ID", "Identification", at: 0, bytes: 4, .readOnly, reset: 0x1122_3344, "Fixed.")
    case .scratch: Register("SCR", "Scratch", at: 4, bytes: 4, .readWrite, "Memory.")
    case .raise:
      Register("RAISE", "Raise", at: 8, bytes: 4, .writeOnly, effects: .write, "Sends a vector.")
    case .lower:
      Register("LOW", "Lower", at: 12, bytes: 4, .writeOnly, effects: .write, "Releases the pin.")
    case .level:
      Register("HIGH", "Level", at: 16, bytes: 4, .writeOnly, effects: .write, "Asserts the pin.")
    }
  }
}

/// The registers in the port window of ``PinDevice``.
enum PinPort: Int, RegisterMap {
  case value

  var declaration: Register {
    Register("PORT", "Port", at: 0, bytes: 4, .readWrite, reset: 0x55, "Memory.")
  }
}

/// A device with a pin, MSI, a memory window (BAR 0), ports (BAR 1) and a 64-bit window (BAR 2).
final class PinDevice: PCIDevice {
  static let declaration = PCIDeviceDeclaration(name: "pin", summary: "For tests.") { _ in
    PCIHardware(
      identity: PCIIdentity(vendor: 0x1234, device: 0x0010),
      bars: [
        BAR(0, .memory32, byteCount: 4096, [try .registers(PinRegister.self)]),
        BAR(1, .io, byteCount: 16, [try .registers(PinPort.self)]),
        BAR(
          2, .memory64, byteCount: 1 << 16,
          [.memory("Memory", byteCount: 1 << 16, "Holds what is written.")]),
      ],
      interrupts: PCIInterrupts(pin: .a, msi: .init(vectorCount: 4)),
      capabilities: [.powerManagement(), .pciExpress()], configurationSpace: .extended)
  }

  private unowned let function: PCIFunction
  private let line: PCIInterruptLine

  init(_ function: PCIFunction) throws {
    self.function = function
    line = function.interruptLine()
    let registers = try function.registers(PinRegister.self)
    registers.effect = { [unowned self] access throws(Errno) in
      switch PinRegister(access) {
      case .raise: self.function.raise(vector: Int(access.written))
      case .lower: line.lower()
      case .level: line.raise()
      default: break
      }
    }
  }

  func reset(_ kind: ResetKind) {}
}

/// A device with MSI-X: registers (BAR 0), table and pending bits (BAR 4).
final class VectorDevice: PCIDevice {
  static let vectorCount = 8

  static let declaration = PCIDeviceDeclaration(name: "vector", summary: "For tests.") { _ in
    PCIHardware(
      identity: PCIIdentity(vendor: 0x1234, device: 0x0011),
      bars: [
        BAR(0, .memory32, byteCount: 4096, [try .registers(PinRegister.self)]),
        BAR(4, .memory32, byteCount: 1 << 16, []),
      ],
      interrupts: PCIInterrupts(
        msix: .init(
          vectorCount: vectorCount, table: .bar(4, at: 0x1000), pendingBits: .bar(4, at: 0x2000))))
  }

  init(_ function: PCIFunction) throws {
    let registers = try function.registers(PinRegister.self)
    registers.effect = { [unowned function] access throws(Errno) in
      if PinRegister(access) == .raise { function.raise(vector: Int(access.written)) }
    }
  }

  func reset(_ kind: ResetKind) {}
}

/// A device that never answers an access to its window.
final class SilentDevice: PCIDevice {
  static let declaration = PCIDeviceDeclaration(name: "silent", summary: "For tests.") { _ in
    PCIHardware(
      identity: PCIIdentity(vendor: 0x1234, device: 0x0012),
      bars: [BAR(0, .memory32, byteCount: 4096, [.handler("Nothing", byteCount: 4096, "Waits.")])])
  }

  init(_ function: PCIFunction) throws {
    try function.setHandler(SilentHandler(), for: "Nothing", in: 0)
  }

  func reset(_ kind: ResetKind) {}
}

/// What never answers an access.
final class SilentHandler: RegionHandler {
  private var replies: [DeferredReply] = []
  private let wasAsked: () -> Void

  /// - Parameter wasAsked: runs for each read, on the loop of the range.
  init(wasAsked: @escaping () -> Void = {}) { self.wasAsked = wasAsked }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    if let reply = access.deferReply() { replies.append(reply) }
    wasAsked()
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    if let reply = access.deferReply() { replies.append(reply) }
  }
}
