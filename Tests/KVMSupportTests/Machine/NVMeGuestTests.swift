import BlockStorage
import DeviceModel
import EmulatedDevices
import Foundation
import Logging
import Testing
import VFIOUser

@testable import KVMSupport

/// Guests that drive `nvme`, and how its doorbells are rung.
@Suite(.serialized, .timeLimit(.minutes(10))) struct NVMeGuestTests {
  /// A controller with a file of 1 MiB, on the PCI bus of a machine.
  private final class Board {
    let test: TestMachine
    let window: RegionWindow
    private let path: String

    init(
      _ engine: MachineOptions.Engine, offersMailbox: Bool = false, knobs settings: [String] = []
    ) throws {
      let path = "/tmp/vfio-user-guest-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      self.path = path
      #expect(FileManager.default.createFile(atPath: path, contents: Data(count: 1 << 20)))
      let server = try TestServer { loop in
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var knobs = try KnobValues(
          device: NVMeDevice.declaration.name, declaring: NVMeDevice.declaration.knobs)
        for setting in settings { try knobs.set(setting) }
        return try PCIFunction(
          NVMeDevice.self, knobs: knobs,
          backend: StorageSet([try StorageSpecification("file:\(path)").open()]), loop: loop,
          logger: logger)
      }
      test = try TestMachine(engine)
      var options = Machine.clientOptions
      options.offersMailbox = offersMailbox
      window = try #require(try test.attach(server, options: options).placements.first).window
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func run(_ program: GuestProgram) throws -> MachineEnding {
      try test.machine.load(
        .image(GuestImage(bytes: program.bytes, address: GuestProgram.address)))
      return try test.machine.run()
    }

    func run(_ script: String) throws -> MachineEnding {
      try test.machine.load(.scripts(try AccessScriptText(script).scripts))
      return try test.machine.run()
    }

    var file: [UInt8] { FileManager.default.contents(atPath: path).map(Array.init) ?? [] }

    /// How often the doorbells were accessed, by each way that the monitor sees.
    var rings: [AccessMechanism: Int] {
      let present = window.usage.filter { (0x1000..<0x2000).contains($0.part.offset.rawValue) }
        .reduce(into: [:]) { $0.merge($1.counts, uniquingKeysWith: +) }
      // Registers are reached by messages, and the MSI-X table by the machine.
      return window.formerUsage.filter { $0.key != .message && $0.key != .monitor }
        .merging(present, uniquingKeysWith: +)
    }
  }

  /// What the programs write to block 1.
  private static let pattern = (0..<128 as Range<UInt32>).flatMap { index in
    let word = 0x654d_564e &+ index &* 0x9e37_79b9
    return (0..<4 as Range<UInt32>).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
  }

  private func expectBlock(_ block: [UInt8], in file: [UInt8]) {
    #expect(file.count == 1 << 20)
    #expect(Array(file.dropFirst(512).prefix(512)) == block)
    #expect(file.prefix(512).allSatisfy { $0 == 0 })
    #expect(file.dropFirst(1024).allSatisfy { $0 == 0 })
  }

  /// A controller's answers to the program; its doorbells come last.
  private static func text(_ shadow: String = "", rings: String) -> String {
    """
    found an NVMe controller at slot 1
    its BAR 0 has 16 KiB, and goes to 0xe0000000
    it is of version 1.4, and ready
    its model is swift-vfio-user NVMe
    its namespace 1 has 2048 blocks of 512 bytes
    it has a pair of queues now
    \(shadow)block 1 was written, flushed and read: it is the same
    3 interrupts came; doorbells were rung \(rings)
    the controller is shut down

    """
  }

  @Test(
    "E3, E16: a guest's driver writes, flushes and reads a block; its doorbells go over descriptors, nobody waits",
    .onKVM, arguments: [0, 1, 2], [false, true])
  func values(threadCount: Int, offersMailbox: Bool) throws {
    let board = try Board(
      .kvm, offersMailbox: offersMailbox, knobs: ["queue-threads=\(threadCount)"])
    let doorbells = board.window.usage.map(\.part).filter { $0.offset.rawValue / 0x1000 == 1 }
    #expect(
      doorbells.allSatisfy {
        $0.path == (offersMailbox ? .mailbox(postsWrites: true) : .ioregionfd(postsWrites: true))
      })
    #expect(board.window.fallbacks.isEmpty, "\(board.window.fallbacks)")
    #expect(try board.run(.nvmeDriver) == .exited(0), "\(board.test.printed)")
    #expect(board.test.printed == Self.text(rings: "6 times"))
    // Five admin commands and three of I/O, and the end of each; none by message.
    #expect(board.rings == [offersMailbox ? .mailbox : .ioregionfd: 16])
    #expect(board.window.events.isEmpty)
    expectBlock(Self.pattern, in: board.file)
  }

  @Test(
    "E2, E16: once a guest's driver keeps doorbells in memory they are eventfds, and ringing them causes no exit",
    .onKVM, arguments: [0, 1], [false, true])
  func shadows(threadCount: Int, offersMailbox: Bool) throws {
    let board = try Board(
      .kvm, offersMailbox: offersMailbox, knobs: ["queue-threads=\(threadCount)"])
    #expect(board.window.events.isEmpty)
    #expect(try board.run(.nvmeShadowDriver) == .exited(0), "\(board.test.printed)")
    let printed = board.test.printed
    let words = printed.split(separator: " ")
    let place = try #require(words.firstIndex(of: "rung"))
    let count = try #require(Int(words[place + 1]))
    // A controller that sleeps is rung for the first command; then it may be awake.
    #expect((1...6).contains(count))
    #expect(
      printed
        == Self.text(
          "their doorbells are in memory now\n", rings: "\(count) times, and stored 6 times"))
    #expect(board.window.events.map(\.offset.rawValue) == [0x1008, 0x100c])
    #expect(board.window.events.allSatisfy { $0.byteCount == 4 && $0.matching == nil })
    #expect(board.window.fallbacks.isEmpty, "\(board.window.fallbacks)")
    // The admin queue's, six commands and their ends: what I/O rang, KVM has signalled by itself.
    #expect(board.rings == [offersMailbox ? .mailbox : .ioregionfd: 12])
    expectBlock(Self.pattern, in: board.file)
  }

  @Test(
    "E2, E3, E16: the example of a script drives nvme, with values and then with eventfds",
    arguments: TestMachine.engines)
  func script(_ engine: MachineOptions.Engine) throws {
    let board = try Board(engine)
    #expect(try board.run(Self.example) == .exited(0), "\(board.test.printed)")
    #expect(board.window.events.map(\.offset.rawValue) == [0x1008, 0x100c])
    var rings: [AccessMechanism: Int] = [.ioregionfd: 10]
    // KVM signals it by itself.
    if engine == .software { rings[.ioeventfd] = 1 }
    #expect(board.rings == rings)
    var block = [UInt8](repeating: 0, count: 512)
    block.replaceSubrange(0..<8, with: [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
    block.replaceSubrange(504..., with: [0, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99])
    expectBlock(block, in: board.file)
  }

  @Test(
    "E2, E3: a controller that is disabled takes its eventfds back, and the next doorbell has a value",
    arguments: TestMachine.engines)
  func takenBack(_ engine: MachineOptions.Engine) throws {
    let board = try Board(engine)
    let end = try #require(try Self.example.range(of: "# Shut down."))
    #expect(
      try board.run(Self.example[..<end.lowerBound] + Self.again) == .exited(0),
      "\(board.test.printed)")
    #expect(board.test.printed.hasSuffix("it was read back\nand once more\n"))
    #expect(board.window.events.isEmpty)
    #expect(board.window.fallbacks.isEmpty, "\(board.window.fallbacks)")
    var rings: [AccessMechanism: Int] = [.ioregionfd: 13]
    if engine == .software { rings[.ioeventfd] = 1 }
    #expect(board.rings == rings)
  }

  /// The script of Examples/Guests.
  private static var example: String {
    get throws {
      let root = String(#filePath.split(separator: "/Tests/KVMSupportTests/")[0])
      return try String(contentsOfFile: root + "/Examples/Guests/nvme.script", encoding: .utf8)
    }
  }

  /// Disables the controller, enables it again with queues elsewhere, and reads block 1.
  private static let again = """
    write32  0xe0000014 0
    poll32   0xe000001c 0 mask 1
    write64  0xe0000028 0x8a000
    write64  0xe0000030 0x8b000
    write32  0xe0000014 0x00460001
    poll32   0xe000001c 1 mask 1
    write32  0x8a000 0x00020005
    write64  0x8a018 0x8d000
    write32  0x8a028 0x000f0001
    write32  0x8a02c 1
    write32  0x8a040 0x00030001
    write64  0x8a058 0x8c000
    write32  0x8a068 0x000f0001
    write32  0x8a06c 0x00010001
    write32  0xe0001000 2
    poll32   0x8b01c 0x00010003
    write32  0x8c000 0x00020002
    write32  0x8c004 1
    write64  0x8c018 0x8e000
    write64  0x8c028 1
    write32  0xe0001008 1
    poll32   0x8d00c 0x00010002
    write32  0xe000100c 1
    expect64 0x8e000 0x1122334455667788
    print "and once more\\n"

    """

  @Test("A guest without a controller says so", .onKVM)
  func nothing() throws {
    let test = try TestMachine(.kvm, [PinDevice.self])
    let program = GuestProgram.nvmeDriver
    try test.machine.load(
      .image(GuestImage(bytes: program.bytes, address: GuestProgram.address)))
    #expect(try test.machine.run() == .exited(1))
    #expect(test.printed == "there is no NVMe controller\n")
  }
}
