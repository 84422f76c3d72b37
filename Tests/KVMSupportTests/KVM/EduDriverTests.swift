import KVMSupport
import Testing
import VFIOUser

@Suite("The guest program that drives edu", .onKVM, .timeLimit(.minutes(10)))
struct EduDriverTests {
  /// As much of edu and of its bus as the program touches.
  final class Board {
    var slot = 3
    var barSize: UInt32 = 0x10_0000
    var hasMSI = true
    var factorialError: UInt32 = 0
    private(set) var console: [UInt8] = []
    private(set) var bar: UInt32 = 0
    private(set) var command: UInt32 = 0x10_0000
    private(set) var message: [UInt32] = [0x0080_0005, 0, 0, 0]
    private(set) var acknowledged: UInt32 = 0
    private var selected: UInt32 = 0
    private var status: UInt32 = 0
    private var number: UInt32 = 0
    private var causes: UInt32 = 0
    /// Sends the message.
    var interrupt: (UInt64, UInt32) -> Void = { _, _ in }

    private var register: Int? {
      guard selected & 0xffff_ff00 == 0x8000_0000 | UInt32(slot) << 11 else { return nil }
      return Int(selected & 0xfc)
    }

    func read(port: UInt64) -> UInt64 {
      guard port == 0xcfc, let register else { return .max }
      return switch register {
      case 0: 0x11e8_1234
      case 4: UInt64(command)
      case 0x10: UInt64(bar)
      case 0x34: 0x80
      // A power management capability comes before that of MSI.
      case 0x80: hasMSI ? 0x9001 : 0x0001
      case 0x90...0x9c: UInt64(message[(register - 0x90) / 4])
      default: 0
      }
    }

    func write(port: UInt64, _ value: UInt32) {
      switch port {
      case 0xcf8: selected = value
      case 0x3f8: console.append(UInt8(truncatingIfNeeded: value))
      case 0xcfc:
        switch register {
        case 4: command = 0x10_0000 | value & 0xffff
        case 0x10: bar = value & ~(barSize - 1)
        case 0x90: message[0] = message[0] & 0xff8e_ffff | value & 0x0071_0000
        case let register? where (0x94...0x9c).contains(register):
          message[(register - 0x90) / 4] = value
        default: break
        }
      default: break
      }
    }

    func readMemory(at address: UInt64) -> UInt64 {
      guard command & 2 != 0, address & ~UInt64(barSize - 1) == UInt64(bar) else { return .max }
      return switch address & UInt64(barSize - 1) {
      case 0: 0x0100_00ed
      case 8: UInt64((1...12).reduce(1, *)) + UInt64(factorialError)
      case 0x24: UInt64(causes)
      default: 0
      }
    }

    func writeMemory(at address: UInt64, _ value: UInt32) {
      guard command & 2 != 0 else { return }
      switch address & UInt64(barSize - 1) {
      case 8:
        number = value
        causes |= 1
        if status & 0x80 != 0, message[0] & 0x1_0000 != 0 {
          interrupt(UInt64(message[1]) | UInt64(message[2]) << 32, message[3])
        }
      case 0x20: status = value
      case 0x64:
        causes &= ~value
        acknowledged |= value
      default: break
      }
    }
  }

  private func run(_ board: Board) throws -> UInt64? {
    let machine = try VirtualMachine(kvm: KVM())
    let memory = try SharedMemory(byteCount: 2 << 20)
    try GuestProgram.eduDriver.load(into: memory)
    try machine.map(MemorySlot(address: GuestAddress(0), memory: memory, byteCount: 2 << 20))
    try machine.createInterruptController()
    board.interrupt = { _ = try? machine.signalMessage(address: $0, data: $1) }
    let cpu = try machine.makeCPU(0)
    try cpu.set32BitFlatMode(entry: GuestProgram.address, stack: GuestAddress(2 << 20))
    while true {
      switch try cpu.run() {
      case .portWrite(AccessScript.exitPort, let value, _): return value
      case .portWrite(let port, let value, _):
        board.write(port: port.rawValue, UInt32(truncatingIfNeeded: value))
      case .portRead(let port, _): cpu.complete(board.read(port: port.rawValue))
      case .memoryRead(let address, _): cpu.complete(board.readMemory(at: address.rawValue))
      case .memoryWrite(let address, let value, _):
        board.writeMemory(at: address.rawValue, UInt32(truncatingIfNeeded: value))
      case .interrupted: break
      case .halted, .shutdown, .failed: return nil
      }
    }
  }

  @Test("It finds edu, places its BAR, and gets a factorial and an interrupt")
  func drives() throws {
    let board = Board()
    #expect(try run(board) == 0)
    #expect(
      String(decoding: board.console, as: UTF8.self) == """
        found edu at slot 3
        its BAR 0 has 1024 KiB, and goes to 0xe0000000
        it says that it is 0x010000ed
        its interrupt is a message now
        an interrupt came, for 0x00000001
        12! = 479001600

        """)
    #expect(board.bar == 0xe000_0000)
    #expect(board.command & 7 == 6)
    #expect(board.message == [0x0081_0005, 0xfee0_0000, 0, 0x41])
    #expect(board.acknowledged == 1)
  }

  @Test("It reads the BAR's size from the BAR")
  func bigBAR() throws {
    let board = Board()
    board.slot = 31
    board.barSize = 0x1000_0000
    #expect(try run(board) == 0)
    let text = String(decoding: board.console, as: UTF8.self)
    #expect(text.contains("its BAR 0 has 262144 KiB, and goes to 0xe0000000\n"))
  }

  @Test("It says what is wrong", arguments: [1, 4, 5] as [UInt64])
  func wrong(status: UInt64) throws {
    let board = Board()
    switch status {
    case 1: board.slot = 40
    case 4: board.hasMSI = false
    default: board.factorialError = 1
    }
    #expect(try run(board) == status)
    #expect(board.console.last == UInt8(ascii: "\n"))
  }
}
