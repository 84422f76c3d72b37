import DeviceModel
import Glibc
import VFIOUser

/// The same register block in regions that are reached in every way there is.
///
/// 0 by messages; 1 by an ioregionfd or a mailbox, which posts writes in its upper half; 2 mapped; 3 as 0,
/// with an ioeventfd at offset 8; 4 by posted messages; 5 two parts whose handlers take 200
/// microseconds, on loops of their own, and a third that shares the loop and the descriptor of the
/// first; 6 answers after 20 ms without keeping its loop.
final class PathDevice: ServedDevice {
  enum Index {
    static let message = 0
    static let descriptor = 1
    static let mapped = 2
    static let event = 3
    static let posted = 4
    static let slow = 5
    static let deferred = 6
  }

  private let block: RegisterBlock<BenchmarkRegister>
  private let memory: SharedMemory
  private let loops: [LoopThread]
  private var loop: EventLoop?

  init(_ polling: PollingMode) throws {
    block = try RegisterBlock(BenchmarkRegister.self, name: "registers", byteCount: 4096)
    memory = try SharedMemory(byteCount: 4096)
    loops = try (0..<2).map { try LoopThread(name: "slow \($0)", polling: .never) }
  }

  var layout: DeviceLayout {
    func region(_ paths: [RegionPath] = [], _ mapping: RegionMapping? = nil) -> RegionLayout {
      RegionLayout(byteCount: 4096, rights: [.read, .write], mapping: mapping, paths: paths)
    }
    func path(
      _ offset: UInt64, _ byteCount: UInt64, _ kind: RegionPath.Kind, _ group: Int = 0
    ) -> RegionPath {
      RegionPath(
        offset: RegionOffset(offset), byteCount: byteCount, kind: kind, descriptorGroup: group)
    }
    return DeviceLayout(
      flags: .reset,
      regions: [
        region(),
        region([
          path(0, 2048, .ioregionfd(postsWrites: false)),
          path(2048, 2048, .ioregionfd(postsWrites: true)),
        ]),
        region(
          [],
          RegionMapping(
            memory: memory, areas: [RegionArea(offset: RegionOffset(0), byteCount: 4096)])),
        region([path(8, 4, .ioeventfd(matching: nil))]),
        region([path(0, 4096, .postedMessage)]),
        region([
          path(0, 16, .ioregionfd(postsWrites: false), 0),
          path(16, 16, .ioregionfd(postsWrites: false), 1),
          path(32, 16, .ioregionfd(postsWrites: false), 0),
        ]),
        region(),
      ], interrupts: [])
  }

  func region(at index: Int) -> Region? {
    switch index {
    case Index.slow:
      try? Region(
        byteCount: 4096,
        ranges: [(0, 0), (16, 1), (32, 0)].map { offset, number in
          RegionRange(
            offset: RegionOffset(offset), byteCount: 16, handler: SlowHandler(),
            loop: loops[number].loop)
        })
    case Index.deferred: try? Region(byteCount: 4096, handler: LateHandler(self))
    case Index.descriptor:
      // The lower and the upper half are the same registers.
      try? Region(
        byteCount: 4096,
        ranges: [0, 2048].map {
          RegionRange(offset: RegionOffset($0), byteCount: 2048, handler: block)
        })
    default: try? Region(byteCount: 4096, handler: block)
    }
  }

  func start(_ services: DeviceServices) { loop = services.loop }
  func reset(_ kind: ResetKind) { block.reset() }

  /// Takes 200 microseconds.
  private final class SlowHandler: RegionHandler {
    func read(
      at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) { usleep(200) }

    func write(
      at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
    ) throws(Errno) { usleep(200) }
  }

  /// Answers reads after 20 ms, and keeps its loop free until then.
  private final class LateHandler: RegionHandler {
    private unowned let device: PathDevice
    init(_ device: PathDevice) { self.device = device }

    func read(
      at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      let reply = access.deferReply()
      device.loop?.schedule(after: .milliseconds(20)) { reply?.complete(with: [1]) }
    }

    func write(
      at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
    ) throws(Errno) {}
  }
}

/// A client of a `PathDevice` in a process of its own.
struct PathClient {
  let child: Child
  let client: DeviceClient

  /// - Parameters:
  ///   - polling: how the device waits.
  ///   - takesMailbox: whether there are mailboxes in the place of ioregionfds.
  init(_ polling: PollingMode, takesMailbox: Bool) throws {
    child = try Child(.paths(polling), isPinned: true)
    var options = ClientOptions()
    options.offersMailbox = takesMailbox
    options.offersPostedMessages = true
    // Under callgrind everything takes its time.
    options.timeout = .seconds(60)
    client = try DeviceClient.connect(
      adopting: OwnedDescriptor(adopting: child.socket), options: options)
  }
}
