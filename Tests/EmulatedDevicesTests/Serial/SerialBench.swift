import Logging
import Synchronization
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// The buses that the core of `serial` is tested behind.
enum SerialBus: CaseIterable {
  case pci, platformLittleEndian, platformBigEndian
}

/// A serial port behind a bus, with a probe at its other end and no server.
final class SerialBench {
  let bus: SerialBus
  let loop: EventLoop
  let port = CharacterPort()
  let backend: ProbeBackend
  let uart: UART16550
  let device: any ServedDevice
  private let isAsserted: () -> Bool

  init(_ bus: SerialBus = .pci, connected: Bool = true) throws {
    self.bus = bus
    loop = try EventLoop(polling: .never)
    backend = ProbeBackend(connected: connected)
    port.attach(backend)
    switch bus {
    case .pci:
      let function = try PCIFunction(SerialDevice.self, backend: port, loop: loop)
      uart = try #require(function.device as? SerialDevice).uart
      device = function
      isAsserted = { [unowned function] in
        // The Interrupt Status bit of the Status register.
        (try? function.region(at: 7)?.loadBytes(at: 6, byteCount: 1)[0]).map { $0 & 8 != 0 }
          ?? false
      }
    case .platformLittleEndian, .platformBigEndian:
      let serial = try PlatformSerial(port: port, loop: loop)
      uart = serial.uart
      device = try PlatformFunction(serial, endianness: bus == .platformBigEndian ? .big : .little)
      isAsserted = { serial.line.isAsserted }
    }
    device.start(
      DeviceServices(layout: device.layout, loop: loop, logger: Logger(label: "test")))
  }

  /// Whether the bus sees the interrupt.
  var isInterrupting: Bool { isAsserted() }

  /// What a driver reads from a register.
  func read(_ offset: UInt64) throws -> UInt8 {
    defer { backend.pump() }
    let region = try #require(device.region(at: 0))
    switch bus {
    case .pci:
      return try region.loadBytes(at: offset, byteCount: 1)[0]
    case .platformLittleEndian:
      return try region.loadBytes(at: offset * 4, byteCount: 4)[0]
    case .platformBigEndian:
      return try region.loadBytes(at: offset * 4, byteCount: 4)[3]
    }
  }

  /// What a driver writes to a register.
  func write(_ offset: UInt64, _ value: UInt8) throws {
    defer { backend.pump() }
    let region = try #require(device.region(at: 0))
    switch bus {
    case .pci: try region.storeBytes([value], at: offset)
    case .platformLittleEndian: try region.storeBytes([value, 0, 0, 0], at: offset * 4)
    case .platformBigEndian: try region.storeBytes([0, 0, 0, value], at: offset * 4)
    }
  }

  func write(_ text: String) throws {
    for byte in text.utf8 { try write(Offset.data, byte) }
  }

  /// Runs the loop until `condition` holds, a minute at most.
  func wait(until condition: () throws -> Bool) throws {
    let end = MonotonicTime.now.advanced(by: .seconds(60))
    while MonotonicTime.now < end {
      if try condition() { return }
      try loop.runOnce(timeout: .milliseconds(1))
    }
    Issue.record("the condition did not come true within a minute")
  }

  /// Runs the loop for a while.
  func run(for duration: Duration) throws {
    let end = MonotonicTime.now.advanced(by: duration)
    while MonotonicTime.now < end { try loop.runOnce(timeout: .milliseconds(1)) }
  }

  /// Reads LSR so that the reply may come later.
  func readLineStatusLate() throws -> LateAnswer {
    let answer = LateAnswer()
    let region = try #require(device.region(at: 0))
    var bytes: [UInt8] = [0]
    try bytes.withMutableRawSpan { span throws(Errno) in
      try region.read(
        at: RegionOffset(5), into: &span, AccessContext(deferral: answer, isPosted: false))
    }
    answer.immediate = bytes[0]
    return answer
  }

  enum Offset {
    static let data: UInt64 = 0
    static let interruptEnable: UInt64 = 1
    static let identification: UInt64 = 2
    static let fifoControl: UInt64 = 2
    static let lineControl: UInt64 = 3
    static let modemControl: UInt64 = 4
    static let lineStatus: UInt64 = 5
    static let modemStatus: UInt64 = 6
    static let scratch: UInt64 = 7
  }
}

/// A reply that may come later, as a session would send it.
final class LateAnswer: AccessDeferral {
  private let outcome = Box()
  fileprivate(set) var isDeferred = false
  fileprivate(set) var immediate: UInt8 = 0

  private final class Box: Sendable {
    let outcome = Mutex<DeferredOutcome?>(nil)
  }

  func deferReply(survivesReset: Bool) -> DeferredReply? {
    isDeferred = true
    return DeferredReply { [outcome] result in outcome.outcome.withLock { $0 = result } }
  }

  /// The value that the reply had; nil while there is none.
  var value: UInt8? {
    guard isDeferred else { return immediate }
    guard case .done(let bytes)? = outcome.outcome.withLock({ $0 }) else { return nil }
    return bytes.first
  }
}

extension Region {
  func loadBytes(at offset: UInt64, byteCount: Int) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try bytes.withMutableRawSpan { span throws(Errno) in
      try read(at: RegionOffset(offset), into: &span)
    }
    return bytes
  }

  func storeBytes(_ bytes: [UInt8], at offset: UInt64) throws(Errno) {
    try write(at: RegionOffset(offset), from: bytes.rawSpan)
  }
}
