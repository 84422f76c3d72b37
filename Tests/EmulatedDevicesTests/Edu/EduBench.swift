import Glibc
import Logging
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// An `edu` with guest memory and eventfds, but without a server.
final class EduBench {
  /// Where the bench puts guest memory.
  static let guestMemory: UInt64 = 0x10_0000
  static let guestByteCount = 0x10000

  let loop: EventLoop
  let function: PCIFunction
  let services: DeviceServices
  let memory: SharedMemory
  let pin: EventDescriptorBox
  let message: EventDescriptorBox

  init(_ settings: String...) throws {
    loop = try EventLoop(polling: .never)
    var knobs = try KnobValues(device: "edu", declaring: EduDevice.declaration.knobs)
    for setting in settings { try knobs.set(setting) }
    function = try PCIFunction(EduDevice.self, knobs: knobs, loop: loop)
    services = DeviceServices(
      layout: function.layout, loop: loop, logger: Logger(label: "test"))
    function.start(services)
    memory = try SharedMemory(byteCount: Self.guestByteCount)
    pin = try Self.assign(services, .intx)
    message = try Self.assign(services, .msi)
    let range = try #require(
      DMARange(address: DMAAddress(Self.guestMemory), byteCount: UInt64(Self.guestByteCount)))
    let mapping = try DMAMapping(
      range, rights: [.read, .write],
      file: OwnedDescriptor(adopting: dup(memory.descriptor.rawValue)), offset: 0)
    services.dma.adopt(DMASnapshot([mapping]))
  }

  private static func assign(
    _ services: DeviceServices, _ index: PCIInterruptIndex
  ) throws -> EventDescriptorBox {
    let event = try EventDescriptor()
    var descriptors = ReceivedDescriptors(adopting: [dup(event.rawValue)])
    try services.interrupts[index.rawValue].apply(
      SetIRQs(
        action: .trigger, selection: .eventfds, index: UInt32(index.rawValue), start: 0, count: 1),
      descriptors: &descriptors)
    return EventDescriptorBox(event)
  }

  func load<Value: FixedWidthInteger & UnsignedInteger>(
    _ offset: UInt64, as type: Value.Type, region index: Int = 0
  ) throws -> Value {
    let region = try #require(function.region(at: index))
    var bytes = [UInt8](repeating: 0, count: Value.bitWidth / 8)
    try bytes.withMutableRawSpan { span throws(Errno) in
      try region.read(at: RegionOffset(offset), into: &span)
    }
    return bytes.reversed().reduce(0) { $0 << 8 | Value($1) }
  }

  func store<Value: FixedWidthInteger & UnsignedInteger>(
    _ offset: UInt64, _ value: Value, region index: Int = 0
  ) throws {
    let region = try #require(function.region(at: index))
    let bytes = (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    try region.write(at: RegionOffset(offset), from: bytes.rawSpan)
  }

  func setCommand(_ command: PCICommand) throws { try store(4, command.rawValue, region: 7) }

  /// Runs the loop until `condition` holds, a minute at most.
  func wait(until condition: () throws -> Bool) throws {
    let end = MonotonicTime.now.advanced(by: .seconds(60))
    while MonotonicTime.now < end {
      if try condition() { return }
      try loop.runOnce(timeout: .milliseconds(1))
    }
    Issue.record("the condition did not come true within a minute")
  }

  /// Does one transfer and waits for its end.
  func transfer(source: UInt64, destination: UInt64, byteCount: UInt64, command: UInt64) throws {
    try store(0x80, source)
    try store(0x88, destination)
    try store(0x90, byteCount)
    try store(0x98, command)
    try wait { try load(0x98, as: UInt64.self) & 1 == 0 }
  }

  func guestByte(_ offset: Int) throws -> UInt8 {
    var byte: [UInt8] = [0]
    try byte.withMutableRawSpan { span throws(Errno) in try memory.read(at: offset, into: &span) }
    return byte[0]
  }
}

extension EventDescriptorBox {
  /// How often it was signalled since the last look.
  var count: UInt64 { event.consume() ?? 0 }
}
