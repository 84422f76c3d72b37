import CVFIOUserLinux
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// A region that mixes all paths, and everything that could answer an access to it.
///
///     0x0000  message                       0x1000  mapped
///     0x0100  posted messages               0x2000  ioregionfd, user data 7
///     0x0200  the monitor's own (16 bytes)  0x2100  ioregionfd, posted writes, user data 8
///     0x0300  eventfds over messages        0x2010  an eventfd over the ioregionfd
final class MixedBAR: @unchecked Sendable {
  static let byteCount: UInt64 = 0x3000

  /// What answered.
  enum Witness: Hashable, Sendable, CaseIterable {
    case message, posted, monitor, memory, port, anyEvent, valueEvent, lengthlessEvent, portEvent
  }

  private final class Registers: GuestAccessHandler {
    let accesses = Observed(0)
    func read(at offset: UInt64, byteCount: Int) -> UInt64 {
      accesses.update { $0 += 1 }
      return 0x3000 + offset
    }
    func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
      accesses.update { $0 += 1 }
    }
  }

  let region = RecordingRegion(byteCount: MixedBAR.byteCount) { offset, _ in 0x1000 + offset }
  let memory: SharedMemory
  let pair: PortPair
  let commands = Observed<[IORegionCommand]>([])
  let window: RegionWindow
  private let registers = Registers()
  private let events: [Witness: EventDescriptorBox]
  private let counters: [Witness: CInt]
  private var device: DispatchThread?

  init(
    makePlan: (RegionPlan) -> RegionPlan = { $0 }
  ) throws {
    memory = try SharedMemory(byteCount: 4096)
    pair = try PortPair()
    var planner = RegionPlanner(region.info)
    var mapped = RegionPart(offset: 0x1000, byteCount: 0x1000, path: .mapped)
    mapped.memory = memory
    planner.insert(mapped)
    planner.insert(RegionPart(offset: 0x100, byteCount: 0x100, path: .postedMessage))
    planner.insert(
      RegionPart(
        offset: 0x2000, byteCount: 0x100, path: .ioregionfd(postsWrites: false),
        port: pair.port, userData: 7))
    planner.insert(
      RegionPart(
        offset: 0x2100, byteCount: 0x100, path: .ioregionfd(postsWrites: true),
        port: pair.port, userData: 8))
    var plan = planner.plan
    var counters: [Witness: CInt] = [:]
    var signals: [Witness: EventDescriptorBox] = [:]
    let wishes: [(Witness, UInt64, Int, UInt64?)] = [
      (.anyEvent, 0x300, 4, nil), (.valueEvent, 0x308, 2, 0xbeef),
      (.lengthlessEvent, 0x310, 0, nil), (.portEvent, 0x2010, 4, nil),
    ]
    for (witness, offset, byteCount, value) in wishes {
      let raw = eventfd(0, CInt(EFD_NONBLOCK | EFD_CLOEXEC))
      counters[witness] = dup(raw)
      let signal = EventDescriptorBox(
        try EventDescriptor(adopting: OwnedDescriptor(adopting: raw)))
      signals[witness] = signal
      plan.events.append(
        RegionEvent(
          offset: RegionOffset(offset), byteCount: byteCount, matching: value, signal: signal))
    }
    self.counters = counters
    events = signals
    window = RegionWindow(
      region: region as any DeviceRegion, plan: makePlan(plan),
      intercepts: [.init(0x200..<0x210, registers)])
    device = pair.serve { [commands] command in
      commands.update { $0.append(command) }
      return 0x2000 + command.offset
    }
  }

  /// Ends the device's thread.
  func end() {
    pair.port.close()
    device?.join()
    device = nil
  }

  deinit {
    end()
    for counter in counters.values { close(counter) }
  }

  /// How often each one answered since the last call; posted commands are waited for.
  func witnesses(portCommands: Int) -> [Witness: Int] {
    #expect(commands.wait { $0.count >= portCommands })
    var seen: [Witness: Int] = [:]
    region.messages.update { messages in
      seen[.posted] = messages.filter(\.isPosted).count
      seen[.message] = messages.filter { !$0.isPosted }.count
      messages = []
    }
    seen[.monitor] = registers.accesses.update { count in
      defer { count = 0 }
      return count
    }
    seen[.port] = commands.update { commands in
      defer { commands = [] }
      return commands.count
    }
    for (witness, descriptor) in counters {
      var value: UInt64 = 0
      if read(descriptor, &value, 8) == 8 { seen[witness] = Int(value) }
    }
    // The memory is its own witness: a byte that is always zero between accesses.
    let word = (try? memory.load64(at: 8)) ?? 0
    if word != 0 { seen[.memory] = 1 }
    try? memory.store64(0, at: 8)
    return seen.filter { $0.value != 0 }
  }
}
