import CVFIOUserLinux
import Logging
import Synchronization
import Testing

@testable import IORegionRing
@testable import VFIOUser

/// How the device side of ioregionfds is served in a test.
enum ServingEngine: String, CaseIterable, CustomTestStringConvertible {
  case epoll, ring

  var testDescription: String { rawValue }

  /// What the options are given.
  var engine: (any IORegionEngine)? { self == .ring ? IORegionRing() : nil }

  /// Those that this kernel offers; `IORegionServingTests.ring` is skipped where that is not all of them.
  static let available: [ServingEngine] = {
    guard let loop = try? EventLoop(polling: .never),
      (try? IORegionRing().makeService(on: loop)) != nil
    else { return [.epoll] }
    return allCases
  }()
}

/// A device of two regions of 4096 bytes; the second is port I/O. In the first:
///
/// - 0x000 registers that remember every access; 0x100 answers when the test says so; 0x200 fails;
/// - 0x300 registers on another loop, 0x400 another one that answers when the test says so, there;
/// - 0x500 read-only to clients by its own choice. Bytes between them belong to nobody.
final class PathDevice: ServedDevice {
  let registers = RecordingRegion(byteCount: 256)
  let slow = SlowRegion()
  let remote = RecordingRegion(byteCount: 256)
  let remoteSlow = SlowRegion()
  let ports = RecordingRegion(byteCount: 4096)
  let other: EventLoop
  let paths: [RegionPath]
  var events: [String] = []
  var services: DeviceServices?
  /// When set, `quiesce` answers "not yet" and puts its completion here.
  var holdsQuiesce = false
  var quiesceCompletion: QuiesceCompletion?

  init(_ paths: [RegionPath], other: EventLoop) {
    self.paths = paths
    self.other = other
  }

  var layout: DeviceLayout {
    DeviceLayout(
      flags: .reset,
      regions: [
        RegionLayout(byteCount: 4096, rights: [.read, .write], paths: paths),
        RegionLayout(byteCount: 4096, rights: [.read, .write], paths: paths, isPortIO: true),
        RegionLayout(byteCount: 4096, rights: .read, paths: paths),
        RegionLayout(byteCount: 4096, rights: .write, paths: paths),
      ], interrupts: [])
  }

  func region(at index: Int) -> Region? {
    guard index == 0 else {
      return index < 4 ? try? Region(byteCount: 4096, handler: ports) : nil
    }
    func range(
      _ offset: UInt64, _ handler: any RegionHandler, _ loop: EventLoop? = nil
    ) -> RegionRange {
      RegionRange(
        offset: RegionOffset(offset), byteCount: 0x100, handler: handler, loop: loop)
    }
    return try? Region(
      byteCount: 4096,
      ranges: [
        range(0, registers), range(0x100, slow), range(0x200, FailingRegion()),
        range(0x300, remote, other), range(0x400, remoteSlow, other),
      ])
  }

  func start(_ services: DeviceServices) { self.services = services }
  func clientConnected() { events.append("connected") }
  func clientDisconnected() { events.append("disconnected") }
  func reset(_ kind: ResetKind) { events.append("reset \(kind)") }

  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    guard holdsQuiesce else { return .done }
    quiesceCompletion = completion
    return .notYet
  }
}

/// Memory that remembers every access in its order.
final class RecordingRegion: RegionHandler {
  enum Access: Equatable {
    case read(UInt64, Int)
    case write(UInt64, UInt64, Int, isPosted: Bool)
    case notified(UInt64, Int, UInt64?)
  }

  var bytes: [UInt8]
  var accesses: [Access] = []
  /// The threads that ran the handler.
  var threads: Set<UInt> = []
  /// When set, ioeventfds are told apart from writes.
  var takesNotifications = true
  /// Runs in each read.
  var onRead: () -> Void = {}

  init(byteCount: Int) { bytes = [UInt8](repeating: 0, count: byteCount) }

  func read(
    at offset: RegionOffset, into target: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    accesses.append(.read(offset.rawValue, target.byteCount))
    onRead()
    threads.insert(UInt(pthread_self()))
    for index in 0..<target.byteCount {
      try? target.store(bytes[Int(offset.rawValue) + index], at: index)
    }
  }

  func write(
    at offset: RegionOffset, from source: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    var value: UInt64 = 0
    for index in 0..<source.byteCount {
      let byte: UInt8 = (try? source.load(at: index)) ?? 0
      bytes[Int(offset.rawValue) + index] = byte
      value |= UInt64(byte) << UInt64(8 * index)
    }
    accesses.append(.write(offset.rawValue, value, source.byteCount, isPosted: access.isPosted))
    threads.insert(UInt(pthread_self()))
  }

  func notified(at offset: RegionOffset, byteCount: Int, value: UInt64?) {
    threads.insert(UInt(pthread_self()))
    accesses.append(.notified(offset.rawValue, byteCount, value))
  }
}

/// Keeps what is logged.
final class LogKeeper: Sendable {
  let lines = Mutex<[String]>([])

  var logger: Logger {
    Logger(label: "test") { _ in Handler(keeper: self) }
  }

  var all: [String] { lines.withLock { $0 } }

  private struct Handler: LogHandler {
    let keeper: LogKeeper
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    init(keeper: LogKeeper) { self.keeper = keeper }

    func log(event: LogEvent) {
      keeper.lines.withLock { $0.append("\(event.level): \(event.message)") }
    }
  }
}
