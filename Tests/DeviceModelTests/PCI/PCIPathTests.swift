import Glibc
import Synchronization
import Testing

@testable import DeviceModel
@testable import VFIOUser

/// How devices declare the ways to their registers.
@Suite("Paths of PCI devices")
struct PCIPathTests {
  private static func hardware(
    _ registers: BARContent, _ more: [BARContent] = []
  ) -> PCIHardware {
    PCIHardware(
      identity: PCIIdentity(vendor: 0x1234, device: 0x0008),
      bars: [
        BAR(0, .memory64, byteCount: 16384, [registers] + more), BAR(2, .io, byteCount: 32, []),
      ])
  }

  private static let window = BARContent.handler(
    "window", at: 0x1000, byteCount: 0x100, "Registers.")

  @Test("What contents declare is the layout's, at its place in the BAR")
  func layout() throws {
    let content = BARContent.memory("ram", at: 0x100, byteCount: 0x40, "Memory.")
      .reached(by: .ioregionfd(postsWrites: false), group: 3)
      .reached(by: .ioeventfd(matching: 7), at: 8, byteCount: 4)
    let bench = try PCIBench(
      Self.hardware(content, [.memory("plain", at: 0x200, byteCount: 16, "Memory.")]))
    #expect(
      bench.function.layout.regions[0].paths == [
        RegionPath(
          offset: RegionOffset(0x100), byteCount: 0x40, kind: .ioregionfd(postsWrites: false),
          descriptorGroup: 3),
        RegionPath(
          offset: RegionOffset(0x108), byteCount: 4, kind: .ioeventfd(matching: 7)),
      ])
    #expect(!bench.function.layout.regions[0].isPortIO && bench.function.layout.regions[2].isPortIO)
  }

  @Test(
    "I19: declarations that contradict each other or the hardware are refused",
    arguments: [
      window.reached(by: .ioregionfd(postsWrites: false), at: 0xff, byteCount: 2),
      window.reached(by: .ioregionfd(postsWrites: false), at: 0, byteCount: 0),
      window.reached(by: .ioregionfd(postsWrites: false), at: .max, byteCount: 2),
      window.reached(by: .ioeventfd(matching: nil)),
      window.reached(by: .ioeventfd(matching: nil), at: 0x100, byteCount: 0),
      window.reached(by: .ioregionfd(postsWrites: false))
        .reached(by: .postedMessage, at: 0x10, byteCount: 4),
      window.reached(by: .ioeventfd(matching: nil), at: 0, byteCount: 4)
        .reached(by: .ioeventfd(matching: 1), at: 0, byteCount: 4),
      window.reached(by: .ioeventfd(matching: 1), at: 0, byteCount: 4)
        .reached(by: .ioeventfd(matching: 1), at: 0, byteCount: 4),
      .sharedMemory("shared", byteCount: 4096, "Memory.")
        .reached(by: .ioregionfd(postsWrites: false)),
      .readOnlyMemory("rom", content: [1, 2, 3, 4], "Fixed.")
        .reached(by: .ioeventfd(matching: nil)),
    ])
  func contradictions(_ content: BARContent) {
    do {
      try Self.hardware(content).validate()
      Issue.record("it passes")
    } catch {
      #expect(error.code == .badPath)
      #expect(error.description.contains(content.name))
    }
  }

  @Test("Paths that differ in place, size or value go together, and ioeventfds lie over others")
  func compatible() throws {
    let content = Self.window
      .reached(by: .ioregionfd(postsWrites: true), at: 0, byteCount: 0x80)
      .reached(by: .ioregionfd(postsWrites: false), at: 0x80, byteCount: 0x80, group: 1)
      .reached(by: .ioeventfd(matching: 1), at: 0, byteCount: 4)
      .reached(by: .ioeventfd(matching: 2), at: 0, byteCount: 4)
      .reached(by: .ioeventfd(matching: nil), at: 0, byteCount: 2)
      .reached(by: .message, at: 0, byteCount: 0x100)
    try Self.hardware(content).validate()
  }

  @Test("Q8: the manual says how each part wishes to be reached, and says nothing where none does")
  func manual() throws {
    func text(_ content: BARContent) throws -> String {
      try PCIDeviceDeclaration(name: "paths", summary: "For tests.") { _ in Self.hardware(content) }
        .manual().text()
    }
    let shown = try text(
      Self.window.reached(by: .ioregionfd(postsWrites: true), group: 2)
        .reached(by: .ioeventfd(matching: 0x20), at: 4, byteCount: 0)
        .reached(by: .ioeventfd(matching: nil), at: 8, byteCount: 8))
    #expect(
      shown.contains(
        """
        PATHS
          BAR  From    Bytes  Reached by
          0    0x1000  256    ioregionfd 2; writes are posted
          0    0x1004  any    ioeventfd for the value 0x20
          0    0x1008  8      ioeventfd
        """), "\(shown)")
    #expect(try !text(Self.window).contains("PATHS"))
  }

  // MARK: With a client

  /// Memory that knows the threads which used it.
  private final class Witness: RegionHandler {
    let threads = Mutex<Set<UInt>>([])
    private let memory = DeviceMemory(byteCount: 0x100)

    func read(
      at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      note()
      try memory.read(at: offset, into: &bytes, access)
    }

    func write(
      at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
    ) throws(Errno) {
      note()
      try memory.write(at: offset, from: bytes, access)
    }

    private func note() { _ = threads.withLock { $0.insert(UInt(pthread_self())) } }
  }

  /// What a test keeps of a function that lives on another thread.
  private final class Kept: @unchecked Sendable {
    var function: PCIFunction?
    let witness = Witness()
    var worker: EventLoop?
  }

  private func serve(
    _ kept: Kept, _ content: BARContent = window, onWorker: Bool, options: ClientOptions? = nil
  ) throws -> ServedFunction {
    try ServedFunction(clientOptions: options ?? ClientOptions()) { loop in
      let declaration = PCIDeviceDeclaration(name: "paths", summary: "For tests.") { _ in
        Self.hardware(content)
      }
      let function = try PCIFunction(
        declaration, knobs: nil, backend: nil, loop: loop, logger: .init(label: "test")
      ) { function in
        try function.setHandler(kept.witness, for: "window", in: 0)
        if onWorker {
          let worker = try function.makeWorkerLoop(named: "worker")
          kept.worker = worker
          try function.setLoop(worker, for: "window", in: 0)
        }
        return try BenchDevice(function)
      }
      kept.function = function
      return function
    }
  }

  /// Carries out one access over a descriptor.
  private func perform(_ command: IORegionCommand, on descriptor: CInt) throws -> UInt64 {
    var bytes = [UInt8](byteCount: 32) { try? command.encode(into: &$0) }
    // Safety: the array has 32 bytes.
    #expect(unsafe send(descriptor, &bytes, 32, 0) == 32)
    var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // Safety: one element; the array has 32 bytes.
    try #require(unsafe poll(&state, 1, 60_000) == 1)
    try #require(unsafe recv(descriptor, &bytes, 32, 0) == 32)
    return try IORegionResponse(decoding: bytes.rawSpan).data
  }

  @Test(
    "I21: a content runs on the loop that was chosen for it, reached by message or by ioregionfd",
    arguments: [false, true])
  func chosenLoop(onWorker: Bool) throws {
    let kept = Kept()
    let served = try serve(
      kept, Self.window.reached(by: .ioregionfd(postsWrites: false)), onWorker: onWorker)
    let region = try served.client.region(at: 0)
    try region.write(UInt32(0x0102_0304), at: RegionOffset(0x1010))
    let descriptors = try served.client.ioDescriptors(region: region)
    let entry = try #require(descriptors.entries.first)
    #expect(descriptors.entries.count == 1 && entry.kind == .ioregionfd)
    let descriptor = try #require(descriptors.rawDescriptor(at: 0))
    let read = IORegionCommand.read(at: 0x10, byteCount: 4, userData: entry.value)
    #expect(try perform(read, on: descriptor) == 0x0102_0304)
    let write = IORegionCommand.write(9, at: 0x12, byteCount: 2, userData: entry.value)
    #expect(try perform(write, on: descriptor) == 0)
    #expect(try region.read(at: RegionOffset(0x1010), as: UInt32.self) == 0x0009_0304)
    #expect(kept.witness.threads.withLock { $0.count } == 1)
    // A reset waits for the loop, and all is as it should be after it.
    try served.client.reset()
    #expect(try perform(read, on: descriptor) == 0x0009_0304)
    #expect(kept.witness.threads.withLock { $0.count } == 1)
    kept.function = nil
  }

  @Test("I22: paths that change at run time are told to a client that listens")
  func setPaths() throws {
    let kept = Kept()
    let changes = Mutex<[Int]>([])
    let seen = Changes(changes)
    var options = ClientOptions()
    options.onRegionChanged = { index in seen.value.withLock { $0.append(index) } }
    let served = try serve(kept, onWorker: false, options: options)
    let region = try served.client.region(at: 0)
    #expect(try served.client.ioDescriptors(region: region).entries.isEmpty)
    let function = try #require(kept.function)
    let confined = LoopConfined(function)
    let done = EventDescriptorBox(try EventDescriptor())
    let errors = Changes(Mutex([]))
    function.loop.post {
      let window = confined.value
      do {
        try window.setPaths(
          of: "window", in: 0,
          [
            RegionPath(
              offset: RegionOffset(8), byteCount: 4, kind: .ioeventfd(matching: nil))
          ])
      } catch { errors.value.withLock { $0.append(1) } }
      do {
        try window.setPaths(
          of: "window", in: 0,
          [RegionPath(offset: RegionOffset(8), byteCount: 4096, kind: .postedMessage)])
        errors.value.withLock { $0.append(2) }
      } catch {}
      done.event.signal()
    }
    #expect(done.event.wait(timeout: .seconds(60)) != nil)
    #expect(errors.value.withLock { $0 } == [])
    let entries = try served.client.ioDescriptors(region: region).entries
    #expect(entries.map(\.offset.rawValue) == [0x1008])
    #expect(seen.value.withLock { $0 } == [0])
    kept.function = nil
  }

  private final class Changes: Sendable {
    let value: Mutex<[Int]>
    init(_ value: consuming Mutex<[Int]>) { self.value = value }
  }
}
