import Glibc
import Logging
import Testing

@testable import DeviceModel
@testable import VFIOUser

/// A device with the hardware that a test asks for; it records what happens to it.
final class BenchDevice: PCIDevice {
  static let declaration = PCIDeviceDeclaration(name: "bench", summary: "For tests.") { _ in
    PCIHardware(identity: PCIIdentity(vendor: 0x1234, device: 0x0001), bars: [])
  }

  var resets: [ResetKind] = []
  var quiesced: [QuiesceReason] = []
  var written: [Range<Int>] = []

  init(_ function: PCIFunction) throws {}

  func reset(_ kind: ResetKind) { resets.append(kind) }
  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    quiesced.append(reason)
    return .done
  }
  func configurationWritten(_ range: Range<Int>) { written.append(range) }
}

/// A function with services but without a server: accesses go straight to its regions.
final class PCIBench {
  let loop: EventLoop
  let function: PCIFunction
  let services: DeviceServices
  let device: BenchDevice

  init(
    _ hardware: PCIHardware, _ setUp: @escaping (PCIFunction) throws -> Void = { _ in }
  ) throws {
    loop = try EventLoop(polling: .never)
    let logger = Logger(label: "test")
    let declaration = PCIDeviceDeclaration(name: "bench", summary: "For tests.") { _ in hardware }
    var made: BenchDevice?
    function = try PCIFunction(
      declaration, knobs: nil, backend: nil, loop: loop, logger: logger
    ) { function in
      try setUp(function)
      let device = try BenchDevice(function)
      made = device
      return device
    }
    device = try #require(made)
    services = DeviceServices(layout: function.layout, loop: loop, logger: logger)
    let function = function
    services.onFence = { [unowned function] reason, action in
      _ = function.quiesce(reason, QuiesceCompletion {})
      action()
      function.resume()
    }
    function.start(services)
  }

  // MARK: - Accesses

  func read(_ region: Int, at offset: Int, byteCount: Int) throws -> [UInt8] {
    let region = try #require(function.region(at: region))
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try bytes.withMutableRawSpan { span throws(Errno) in
      try region.read(at: RegionOffset(UInt64(offset)), into: &span)
    }
    return bytes
  }

  func write(_ region: Int, at offset: Int, _ bytes: [UInt8]) throws {
    let region = try #require(function.region(at: region))
    try region.write(at: RegionOffset(UInt64(offset)), from: bytes.rawSpan)
  }

  func load<Value: FixedWidthInteger & UnsignedInteger>(
    _ region: Int, _ offset: Int, as type: Value.Type
  ) throws -> Value {
    try read(region, at: offset, byteCount: Value.bitWidth / 8).reversed()
      .reduce(0) { $0 << 8 | Value($1) }
  }

  func store<Value: FixedWidthInteger & UnsignedInteger>(
    _ region: Int, _ offset: Int, _ value: Value
  ) throws {
    try write(
      region, at: offset,
      (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) })
  }

  /// Reads configuration space.
  func load<Value: FixedWidthInteger & UnsignedInteger>(
    _ offset: Int, as type: Value.Type
  ) throws -> Value {
    try load(PCIRegionIndex.configurationSpace, offset, as: type)
  }

  /// Writes configuration space.
  func store<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, _ value: Value) throws {
    try store(PCIRegionIndex.configurationSpace, offset, value)
  }

  /// Sets and clears bits of the Command register.
  func setCommand(_ command: PCICommand) throws { try store(4, command.rawValue) }

  var capabilities: PCIConfigurationLayout { function.configurationLayout }

  // MARK: - Interrupts

  /// Assigns an eventfd to each of `vectors`, as a client does.
  func assign(_ index: PCIInterruptIndex, _ vectors: Range<Int>) throws -> [EventDescriptorBox] {
    var boxes: [EventDescriptorBox] = []
    for vector in vectors {
      let event = try EventDescriptor()
      var descriptors = ReceivedDescriptors(adopting: [dup(event.rawValue)])
      try services.interrupts[index.rawValue].apply(
        SetIRQs(
          action: .trigger, selection: .eventfds, index: UInt32(index.rawValue),
          start: UInt32(vector), count: 1),
        descriptors: &descriptors)
      boxes.append(EventDescriptorBox(event))
    }
    return boxes
  }

  func apply(_ action: SetIRQs.Action, _ index: PCIInterruptIndex, _ vector: Int = 0) throws {
    var descriptors = ReceivedDescriptors()
    try services.interrupts[index.rawValue].apply(
      SetIRQs(
        action: action, selection: .all, index: UInt32(index.rawValue), start: UInt32(vector),
        count: 1),
      descriptors: &descriptors)
  }
}

extension EventDescriptorBox {
  /// How often it was signalled since the last look.
  var count: UInt64 { event.consume() ?? 0 }
}

extension PCIHardware {
  /// A function with everything that can be declared.
  static func everything(msixVectors: Int = 4) -> PCIHardware {
    PCIHardware(
      identity: PCIIdentity(
        vendor: 0x1234, device: 0xabcd, subsystemVendor: 0x5678, subsystem: 0x9abc, revision: 3,
        classCode: .nonVolatileMemoryExpress),
      bars: [
        BAR(
          0, .memory64, byteCount: 1 << 20,
          [.memory("Scratch", at: 0x1000, byteCount: 0x1000, "Memory.")]),
        BAR(2, .io, byteCount: 32, []),
        BAR(3, .memory32, byteCount: 1 << 16, []),
        BAR(4, .prefetchableMemory64, byteCount: 1 << 33, []),
      ],
      interrupts: PCIInterrupts(
        pin: .a, msi: .init(vectorCount: 4, is64Bit: true, hasVectorMasking: true),
        msix: .init(
          vectorCount: msixVectors, table: .bar(3, at: 0), pendingBits: .bar(3, at: 0x8000))),
      capabilities: [
        .powerManagement(), .pciExpress(),
        .vendor([1, 2, 3, 4, 5], writable: [0, 0xff]),
      ],
      extendedCapabilities: [
        .advancedErrorReporting, .deviceSerialNumber(0x0011_2233_4455_6677),
        .vendor(.init(identifier: 0x42, revision: 1, content: [9, 8, 7, 6], writable: [0xf0])),
      ],
      expansionROM: PCIExpansionROM(image: [0x55, 0xaa] + [UInt8](repeating: 7, count: 3000)),
      configurationSpace: .extended)
  }
}
