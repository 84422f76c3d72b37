import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// A device with every path, served in this process on loops of its own, and a client of it.
///
///     0x0000  registers            0x1000  mapped, where the test wants it
///     0x0800  answers when told    0x2000  registers on another loop
final class LiveDevice: @unchecked Sendable {
  /// What reached the device.
  enum Access: Hashable, Sendable {
    case read(UInt64, Int)
    case write(UInt64, UInt64, Int)
    case notified(UInt64)
  }

  static let byteCount: UInt64 = 0x3000
  let accesses = Observed<[Access]>([])
  /// The threads that ran handlers: of the registers, and of those on the other loop.
  let threads = Observed<[Set<UInt>]>([[], []])
  /// An access that waits for the test.
  let held = Observed<DeferredReply?>(nil)
  let socketPath: String
  private let home: LoopThread
  private let other: LoopThread
  private let inside = Inside()

  private final class Inside: @unchecked Sendable {
    var server: DeviceServer?
    var services: DeviceServices?
  }

  init(
    _ paths: [RegionPath], memory: SharedMemory? = nil,
    _ configure: @escaping @Sendable (inout DeviceOptions) -> Void = { _ in }
  ) throws {
    home = try LoopThread(name: "device", polling: .never)
    other = try LoopThread(name: "device queue", polling: .never)
    socketPath = "/tmp/vfio-user-dispatch-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    let ready = Observed(false)
    home.loop.post { [self] in
      var options = DeviceOptions()
      configure(&options)
      let device = Device(self, paths, memory)
      let host = DeviceHost(device: device, loop: home.loop, options: options)
      let server = DeviceServer(host: host)
      do { try server.listen(path: socketPath) } catch { Issue.record("\(error)") }
      inside.server = server
      inside.services = device.services
      ready.update { $0 = true }
    }
    try #require(ready.wait { $0 })
  }

  /// The server ends: its sockets are closed.
  func end() {
    let isStopped = Observed(false)
    home.loop.post { [inside] in
      guard let server = inside.server else { return isStopped.update { $0 = true } }
      server.stop { isStopped.update { $0 = true } }
    }
    #expect(isStopped.wait { $0 })
    let isGone = Observed(false)
    home.loop.post { [inside] in
      inside.server = nil
      inside.services = nil
      isGone.update { $0 = true }
    }
    #expect(isGone.wait { $0 })
  }

  func finish() {
    end()
    other.end()
    home.end()
  }

  /// Changes the paths at run time.
  func setPaths(_ paths: [RegionPath]) {
    let isDone = Observed(false)
    home.loop.post { [inside] in
      inside.services?.setPaths(paths, ofRegion: 0)
      isDone.update { $0 = true }
    }
    #expect(isDone.wait { $0 })
  }

  func connect(_ configure: (inout ClientOptions) -> Void = { _ in }) throws -> DeviceClient {
    var options = ClientOptions()
    options.timeout = .seconds(60)
    options.offersPostedMessages = true
    configure(&options)
    return try DeviceClient.connect(path: socketPath, options: options)
  }

  /// Takes what reached the device since the last call, once there are `count`.
  func take(_ count: Int) -> [Access] {
    #expect(accesses.wait { $0.count >= count })
    return accesses.update { accesses in
      defer { accesses = [] }
      return accesses
    }
  }

  private final class Device: ServedDevice {
    private let owner: LiveDevice
    private let paths: [RegionPath]
    private let memory: SharedMemory?
    var services: DeviceServices?

    init(_ owner: LiveDevice, _ paths: [RegionPath], _ memory: SharedMemory?) {
      self.owner = owner
      self.paths = paths
      self.memory = memory
    }

    var layout: DeviceLayout {
      let area = RegionArea(offset: RegionOffset(0x1000), byteCount: 0x1000)
      return DeviceLayout(
        flags: .reset,
        regions: [
          RegionLayout(
            byteCount: LiveDevice.byteCount, rights: [.read, .write],
            mapping: memory.map { RegionMapping(memory: $0, areas: [area]) }, paths: paths)
        ], interrupts: [])
    }

    func region(at index: Int) -> Region? {
      let loop = owner.other.loop
      return try? Region(
        byteCount: LiveDevice.byteCount,
        ranges: [
          RegionRange(
            offset: RegionOffset(0), byteCount: 0x800, handler: Registers(owner, 0, 0)),
          RegionRange(
            offset: RegionOffset(0x800), byteCount: 0x800, handler: Held(owner)),
          RegionRange(
            offset: RegionOffset(0x1000), byteCount: 0x1000, handler: Registers(owner, 0, 0x1000)),
          RegionRange(
            offset: RegionOffset(0x2000), byteCount: 0x1000,
            handler: Registers(owner, 1, 0x2000), loop: loop),
        ])
    }

    func start(_ services: DeviceServices) { self.services = services }
    func reset(_ kind: ResetKind) {}
  }

  private final class Registers: RegionHandler {
    private let owner: LiveDevice
    private let number: Int
    private let base: UInt64

    init(_ owner: LiveDevice, _ number: Int, _ base: UInt64) {
      self.owner = owner
      self.number = number
      self.base = base
    }

    private func note(_ access: Access) {
      let thread = UInt(pthread_self())
      owner.threads.update { _ = $0[number].insert(thread) }
      owner.accesses.update { $0.append(access) }
    }

    func read(
      at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      note(.read(base + offset.rawValue, target.byteCount))
      try? target.storeWord(0x5000 + base + offset.rawValue, target.byteCount, at: 0)
    }

    func write(
      at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
    ) throws(Errno) {
      let word = (try? source.loadWord()) ?? 0
      note(.write(base + offset.rawValue, word, source.byteCount))
    }

    func notified(at offset: RegionOffset, byteCount: Int, value: UInt64?) {
      note(.notified(base + offset.rawValue))
    }
  }

  private final class Held: RegionHandler {
    private let owner: LiveDevice

    init(_ owner: LiveDevice) { self.owner = owner }

    func read(
      at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      let reply = access.deferReply()
      owner.held.update { $0 = reply }
    }

    func write(
      at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
    ) throws(Errno) {}
  }
}
