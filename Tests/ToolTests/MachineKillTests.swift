import DeviceProgram
import Glibc
import Synchronization
import Testing
import VFIOUser

@testable import KVMSupport

/// Guest programs on KVM whose device processes are killed while they drive them.
@Suite(.serialized, .enabled(if: KVM.isAvailable), .timeLimit(.minutes(4)))
struct MachineKillTests {
  private static let roundCount = 300

  /// Writes a number to edu's liveness register and reads its inverse, `roundCount` times; where it reads
  /// something else, that number once more. Each success is told to port 0x500, each other read to 0x501.
  private static let program: [UInt8] = [
    0xb9, UInt8(roundCount & 0xff), UInt8(roundCount >> 8), 0, 0,  // mov $300, %ecx
    0xbe, 0x04, 0x00, 0x00, 0xe0,  // mov $0xe0000004, %esi
    0x66, 0xba, 0x00, 0x05,  // next: mov $0x500, %dx
    0x89, 0x0e,  // mov %ecx, (%esi)
    0x8b, 0x06,  // mov (%esi), %eax
    0xf7, 0xd0,  // not %eax
    0x39, 0xc8,  // cmp %ecx, %eax
    0x74, 0x05,  // je good
    0x66, 0x42,  // inc %dx
    0xee,  // out %al, (%dx)
    0xeb, 0xed,  // jmp next
    0xee,  // good: out %al, (%dx)
    0x49,  // dec %ecx
    0x75, 0xe9,  // jnz next
    0x31, 0xc0,  // xor %eax, %eax
    0xe6, 0xf4,  // out %al, $0xf4
  ]

  private final class Counter: GuestAccessHandler {
    let onChange: @Sendable (Int) -> Void
    private let count = Atomic<Int>(0)
    init(_ onChange: @escaping @Sendable (Int) -> Void = { _ in }) { self.onChange = onChange }
    var value: Int { count.load(ordering: .relaxed) }
    func read(at offset: UInt64, byteCount: Int) -> UInt64 { 0 }
    func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
      onChange(count.wrappingAdd(1, ordering: .relaxed).newValue)
    }
  }

  /// The process that serves now; a thread of its own kills it and starts the next one.
  private final class MortalServer: @unchecked Sendable {
    // The thread alone uses the program; the folder does not change.
    private let folder = TemporaryFolder()
    private let thread: LoopThread
    private var program: Program
    var path: String { folder / "socket" }

    init() throws {
      program = try Server(in: folder).program
      thread = try LoopThread(name: "killer", polling: .never)
    }

    private static func start(_ folder: TemporaryFolder) throws -> Program {
      try Program(
        "vfio-user", ["serve", "edu", "--socket-path", folder / "socket"], in: .init())
    }

    /// Kills it at any moment from now on, and starts another one.
    func replace() {
      thread.loop.post { [self] in
        program.end(SIGKILL)
        do { program = try Self.start(folder) } catch { Issue.record("no server: \(error)") }
      }
    }

    /// Ends the thread, and the process.
    func end() {
      thread.end()
      program.end(SIGKILL)
    }
  }

  @Test("V12, E13: kill -9 of the device under a program on KVM delays it, and its result is right")
  func kills() throws {
    let server = try MortalServer()
    defer { server.end() }
    let events = Mutex<[MachineEvent]>([])
    var options = MachineOptions()
    options.memoryByteCount = 4 << 20
    let machine = try Machine(options, onEvent: { event in events.withLock { $0.append(event) } })
    defer { machine.close() }
    let device = try machine.attach(
      path: server.path, policy: .reconnect(within: .seconds(120)))
    device.writeConfiguration(0xe000_0000, at: 0x10, byteCount: 4)
    device.writeConfiguration(6, at: 4, byteCount: 2)
    let successes = Counter { [weak server] in if $0 % 100 == 50 { server?.replace() } }
    let failures = Counter()
    let space = machine.space
    try space.place(successes, in: .port, at: GuestAddress(0x500), byteCount: 1)
    try space.place(failures, in: .port, at: GuestAddress(0x501), byteCount: 1)
    try machine.load(.image(GuestImage(bytes: Self.program)))
    #expect(try machine.run() == .exited(0))
    #expect(successes.value == Self.roundCount)
    // Each death may cost what was in flight, and the number that the device has forgotten.
    #expect(failures.value <= 6, "\(failures.value)")
    space.remove(successes)
    space.remove(failures)
  }
}
