import DeviceModel
import KVMSupport
import VFIOUser

/// A guest that accesses registers again and again, and what answers it.
///
/// With KVM the guest is one, and each access that is not taken over exits; without, the accesses come
/// from this program.
final class PathMachine {
  private let machine: AccessScriptMachine?
  private let space: AddressSpace
  private let model: Model
  private var progress = AccessProgress()
  private var next: UInt64 = 0xe000_0000

  /// Where an access exits and nobody answers.
  static let bare = GuestAddress(0xe0ff_f000)
  /// Where this process answers.
  static let inProcess = GuestAddress(0xe0ff_0000)

  var hasKVM: Bool { machine != nil }

  init() throws {
    machine = try? AccessScriptMachine(kvm: KVM(), hasInterruptController: false)
    space = AddressSpace(hypervisor: machine?.machine)
    model = try Model()
    try space.place(model, at: Self.inProcess, byteCount: 4096)
  }

  /// The registers of the device, in this process.
  private final class Model: GuestAccessHandler, @unchecked Sendable {
    private let region: Region

    init() throws {
      region = try Region(
        byteCount: 4096,
        handler: RegisterBlock(BenchmarkRegister.self, name: "registers", byteCount: 4096))
    }

    func read(at offset: UInt64, byteCount: Int) -> UInt64 {
      var bytes: [8 of UInt8] = .init(repeating: 0)
      var elements = bytes.mutableSpan
      var span = elements.mutableBytes
      var part = span._mutatingExtracting(0..<byteCount)
      try? region.read(at: RegionOffset(offset), into: &part)
      return (try? span.load(at: 0, as: UInt64.self)) ?? 0
    }

    func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
      var bytes: [8 of UInt8] = .init(repeating: 0)
      var elements = bytes.mutableSpan
      var span = elements.mutableBytes
      try? span.store(value, at: 0)
      try? region.write(at: RegionOffset(offset), from: span.bytes.extracting(0..<byteCount))
    }
  }

  /// Shows a region to the guest, reached as its server wishes. Returns where it is.
  func place(
    _ region: ClientRegion, polling: PollingMode? = nil
  ) throws -> (address: GuestAddress, paths: [RegionPartPath]) {
    let client = region.client
    let plan = RegionPlan(
      region: region, descriptors: try? client.ioDescriptors(region: region)
    ) { entry, descriptors throws(Errno) in
      try RegionPlan.port(
        for: entry, descriptors, client: client, polling: polling)
    }
    let address = GuestAddress(next)
    next += 0x1_0000
    try space.place(RegionWindow(region: region, plan: plan), at: address)
    return (address, plan.parts.map(\.path))
  }

  /// Has the guest read a register of 4 bytes `count` times.
  func read(_ address: GuestAddress, _ count: Int) throws {
    try run(.read(at: address, byteCount: 4, count: UInt32(count))) {
      .read(at: address, byteCount: 4)
    }
  }

  /// Has the guest write a register of 4 bytes `count` times.
  func write(_ address: GuestAddress, _ count: Int) throws {
    try run(.write(at: address, 1, byteCount: 4, count: UInt32(count))) {
      .write(1, at: address, byteCount: 4)
    }
  }

  private func run(_ operation: AccessOperation, _ access: () -> GuestAccess) throws {
    guard let machine else {
      guard case .read(_, _, _, _, let count, _) = operation else {
        guard case .write(_, _, _, _, let count, _, _) = operation else { return }
        for _ in 0..<count { _ = space.access(access(), &progress) }
        return
      }
      for _ in 0..<count { _ = space.access(access(), &progress) }
      return
    }
    try machine.run(AccessScript([operation])) { cpu, exit in
      switch exit {
      case .memoryRead(Self.bare, _): cpu.complete(0)
      case .memoryWrite(Self.bare, _, _): break
      case .memoryRead(let address, let byteCount):
        cpu.complete(answer(.read(at: address, byteCount: byteCount)))
      case .memoryWrite(let address, let value, let byteCount):
        _ = answer(.write(value, at: address, byteCount: byteCount))
      case .interrupted: break
      default: return false
      }
      return true
    }
  }

  private func answer(_ access: GuestAccess) -> UInt64 {
    while true {
      if case .done(let value) = space.access(access, &progress) { return value }
    }
  }
}
