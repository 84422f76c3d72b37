import DeviceModel
import Testing
import Logging
import VFIOUser

/// A core that knows no bus: raises its line while `ENABLE & EVENTS` is not 0.
private final class EventCore: PlatformDevice {
  enum Map: Int, RegisterMap {
    case enable, events
    var declaration: Register {
      switch self {
      case .enable:
        Register("EN", "Enable", at: 0, bytes: 4, .readWrite, effects: .write, "Enables events.")
      case .events:
        Register(
          "EV", "Events", at: 4, bytes: 2, .writeOneToClear, effects: .write, "Events so far.")
      }
    }
  }

  let registers: RegisterBlock<Map>
  let line = InterruptLine()
  var platformRegions: [PlatformRegion] { [PlatformRegion("registers", registers)] }
  var interruptLines: [InterruptLine] { [line] }

  init() throws(DeclarationError) {
    registers = try RegisterBlock()
    registers.effect = { [unowned self] _ in update() }
  }

  func happen(_ events: UInt64) {
    registers[.events] |= events
    update()
  }

  func reset(_ kind: ResetKind) {
    registers.reset()
    update()
  }

  private func update() { line.set(registers[.enable] & registers[.events] != 0) }
}

@Suite("Platform devices")
struct PlatformFunctionTests {
  @Test("E7: a platform device has its regions and lines, and no PCI flag")
  func layout() throws {
    let function = try PlatformFunction(EventCore())
    #expect(function.layout.flags == [.platform, .reset])
    #expect(function.layout.regions.map(\.byteCount) == [6])
    #expect(function.layout.interrupts.map(\.count) == [1])
    #expect(function.region(at: 0)?.byteCount == 6)
    #expect(function.region(at: 1) == nil)
    #expect(function.region(at: -1) == nil)
  }

  @Test("Q2: one core gives the same values behind a little- and a big-endian bus")
  func endianness() throws {
    for (order, bytes) in [
      (Endianness.little, [0x78, 0x56, 0x34, 0x12] as [UInt8]), (.big, [0x12, 0x34, 0x56, 0x78]),
    ] {
      let core = try EventCore()
      let region = try #require(try PlatformFunction(core, endianness: order).region(at: 0))
      let handler = region.ranges[0].handler
      try handler.storeBytes(bytes, at: RegionOffset(0))
      #expect(core.registers[.enable] == 0x1234_5678)
      #expect(try handler.loadBytes(at: RegionOffset(0), byteCount: 4) == bytes)
      core.happen(0x8001)
      let half = try handler.loadBytes(at: RegionOffset(4), byteCount: 2)
      #expect(half == (order == .little ? [0x01, 0x80] : [0x80, 0x01]))
      // One byte has no order; three are single bytes on any bus.
      #expect(try handler.loadBytes(at: RegionOffset(0), byteCount: 1) == [0x78])
      #expect(
        try handler.loadBytes(at: RegionOffset(0), byteCount: 3) == [0x78, 0x56, 0x34])
      try handler.storeBytes([1, 2, 3], at: RegionOffset(0))
      #expect(core.registers[.enable] == 0x1203_0201)
    }
  }

  @Test("Q5: the core drives its line without knowing what the line is connected to")
  func line() throws {
    let core = try EventCore()
    var levels: [Bool] = []
    core.happen(1)
    #expect(!core.line.isAsserted)
    core.line.connect { levels.append($0) }
    try core.registers.store(1 as UInt32, at: RegionOffset(0))
    core.happen(1)
    try core.registers.store(1 as UInt16, at: RegionOffset(4))
    #expect(levels == [true, false])
  }

  @Test("Q5: a line that was asserted before it was connected is delivered at once")
  func connectsLate() {
    let line = InterruptLine()
    line.set(true)
    var levels: [Bool] = []
    line.connect { levels.append($0) }
    #expect(levels == [true])
  }

  @Test("E6: a platform line reaches its interrupt set and stays pending while asserted")
  func interrupts() throws {
    let core = try EventCore()
    let function = try PlatformFunction(core)
    let services = DeviceServices(
      layout: function.layout, loop: try EventLoop(polling: .never), logger: Logger(label: "test"))
    function.start(services)
    try core.registers.store(3 as UInt32, at: RegionOffset(0))
    core.happen(2)
    #expect(services.interrupts[0].isPending(0))
    function.reset(.device)
    #expect(!services.interrupts[0].isPending(0))
    #expect(core.registers[.events] == 0)
  }
}
