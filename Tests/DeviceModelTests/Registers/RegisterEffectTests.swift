import DeviceModel
import Testing
import VFIOUser

private enum EffectRegister: Int, RegisterMap {
  case plain, control, live, latch, queue

  var declaration: Register {
    switch self {
    case .plain: Register("PLAIN", "Plain", at: 0, bytes: 4, .readWrite, "No effect.")
    case .control:
      Register(
        "CTL", "Control", at: 4, bytes: 4, .readWrite, reset: 0x10, effects: .write, "On writes.")
    case .live:
      Register("LIVE", "Live", at: 8, bytes: 4, .readOnly, effects: [.read, .write], "On both.")
    case .latch:
      Register("LATCH", "Latch", at: 12, bytes: 4, .readToClear, effects: .read, "Clears.")
    case .queue:
      Register(
        "Q", "Queue", at: 16, bytes: 2, .writeOnly, effects: .write,
        array: RegisterArray(count: 4, stride: 2), "Doorbells.")
    }
  }
}

@Suite("Register effects")
struct RegisterEffectTests {
  private let block: RegisterBlock<EffectRegister>

  init() throws { block = try RegisterBlock() }

  @Test("E1: a write is stored before its effect, which sees old, new and written bits")
  func writeEffect() throws {
    var seen: [RegisterEffect] = []
    var during: UInt64 = 0
    block.effect = { [block] effect in
      seen.append(effect)
      during = block[.control]
    }
    try block.write(0xab, 5, bytes: 1)
    #expect(during == 0xab10)
    #expect(seen.count == 1)
    #expect(EffectRegister(seen[0]) == .control)
    #expect(seen[0].isWrite)
    #expect(seen[0].oldValue == 0x10)
    #expect(seen[0].value == 0xab10)
    #expect(seen[0].written == 0xab00)
    #expect(seen[0].accessedMask == 0xff00)
    block.effect = nil
  }

  @Test("E1: registers without effects never reach the closure")
  func noEffect() throws {
    var count = 0
    block.effect = { _ in count += 1 }
    try block.write(1, 0, bytes: 4)
    _ = try block.read(0, bytes: 4)
    _ = try block.read(4, bytes: 4)
    #expect(count == 0)
  }

  @Test("E1: the closure supplies what a read returns")
  func readEffect() throws {
    block.effect = { effect in effect.value = 0x1234_5678 }
    #expect(try block.read(8, bytes: 4) == 0x1234_5678)
    #expect(try block.read(10, bytes: 1) == 0x34)
  }

  @Test("E1: assigning through the block inside a read effect counts as well")
  func assignInEffect() throws {
    block.effect = { [unowned block] effect in block[.live] = 77 }
    #expect(try block.read(8, bytes: 4) == 77)
  }

  @Test("E1: read-to-clear applies after the closure supplied the value")
  func readToClearAfterEffect() throws {
    block.effect = { effect in effect.value |= 0xff00_00ff }
    #expect(try block.read(12, bytes: 2) == 0x00ff)
    #expect(block[.latch] == 0xff00_0000)
  }

  @Test("E1: a closure that changes the value of a write changes the register")
  func changesWrite() throws {
    block.effect = { effect in effect.value &= 0xf }
    try block.write(0x37, 4, bytes: 4)
    #expect(block[.control] == 7)
  }

  @Test("E17: a write whose effect fails answers its error and leaves the old value")
  func failingWrite() throws {
    block.effect = { _ throws(Errno) in throw .ioError }
    #expect(throws: Errno.ioError) { try block.write(1, 4, bytes: 4) }
    #expect(block[.control] == 0x10)
    #expect(throws: Errno.ioError) { try block.read(8, bytes: 4) }
  }

  @Test("E1: a split access calls the effect of each register in ascending order")
  func splitOrder() throws {
    var seen: [(Int, UInt64)] = []
    block.effect = { effect in seen.append((effect.element, effect.written)) }
    try block.write(0x4444_3333_2222_1111, 16, bytes: 8)
    #expect(seen.map(\.0) == [0, 1, 2, 3])
    #expect(seen.map(\.1) == [0x1111, 0x2222, 0x3333, 0x4444])
  }

  @Test("E1: an effect may access the block's own registers, other effects included")
  func reenters() throws {
    var depth = 0
    block.effect = { [unowned block] effect throws(Errno) in
      depth += 1
      if EffectRegister(effect) == .control { try block.write(3, 16, bytes: 2) }
    }
    try block.write(1, 4, bytes: 4)
    #expect(depth == 2)
    #expect(block[.queue, 0] == 3)
  }
}
