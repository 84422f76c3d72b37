import BlockStorage
import Foundation
import Logging
import NVMe
import Synchronization
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// Hands a value over from one thread to another, once.
private final class Handover<Value: Sendable>: Sendable {
  private let value: Mutex<Value?>

  init(_ value: Value? = nil) { self.value = Mutex(value) }

  func put(_ new: Value) { value.withLock { $0 = new } }

  func take() -> Value? {
    value.withLock { value in
      defer { value = nil }
      return value
    }
  }
}

/// An `nvme` served on a thread of its own, a client on a socket to it, and just enough of a driver.
///
/// Guest memory is one range; places in it are counted from its start, addresses are the device's.
/// Commands and queues are in extensions.
///
/// Threads: one at a time.
final class NVMeRig {
  /// Where guest memory begins for the device.
  static let base: UInt64 = 0x1000_0000
  static let memoryByteCount = 32 << 20
  /// CC but for EN: entries of 64 and 16 bytes, pages of 4 KiB.
  static let usualConfiguration: UInt32 = 0x0046_0000

  let memory: SharedMemory
  private(set) var client: DeviceClient
  /// BAR 0.
  private(set) var registers: ClientRegion
  /// The admin queue pair, made anew by each enable.
  private(set) var admin: DriverQueue
  /// I/O queue 1 of commands that are carried out one at a time, once it is there.
  var commands: DriverQueue?
  /// Where the shadow doorbells and the event indexes lie, once they are in use.
  var shadow: (values: Int, indexes: Int)?
  /// How many doorbells were written by an access, or by a store to the mapped page.
  var ringCount = 0
  /// Rings a doorbell in another way; false leaves it to the access.
  var ringsElsewhere: ((_ value: UInt32, _ offset: Int) throws -> Bool)?
  /// Whether the device reaches guest memory directly.
  private let isMapped: Bool
  private var options: ClientOptions
  private let loop: EventLoop
  private let path: String
  private let finished = DispatchSemaphore(value: 0)
  /// Ends the server, and then its loop; to be called there.
  private let stop = Handover<@Sendable () -> Void>()
  private var nextFree = 0x2000

  /// - Parameters:
  ///   - settings: of knobs.
  ///   - storages: of the namespaces; 8 MiB of memory by default.
  ///   - isEnabled: whether the controller is enabled from the start.
  ///   - options: of the client.
  init(
    _ settings: String..., storages: [any BlockStorage]? = nil, polling: PollingMode = .never,
    isMapped: Bool = true, isEnabled: Bool = true, options: ClientOptions = ClientOptions()
  ) throws {
    // The server's alone: a file is free again once the server has finished.
    let storages = Handover(StorageSet(try storages ?? [MemoryStorage(byteCount: 8 << 20)]))
    var knobs = try KnobValues(device: "nvme", declaring: NVMeDevice.declaration.knobs)
    for setting in settings { try knobs.set(setting) }
    let loop = try EventLoop(polling: polling)
    self.loop = loop
    self.isMapped = isMapped
    path = "/tmp/nvme-rig-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    let listening = DispatchSemaphore(value: 0)
    let (path, finished, stop, values) = (path, finished, stop, knobs)
    Thread.detachNewThread {
      do {
        try Self.serve(storages.take(), values, loop, path) {
          stop.put($0)
          listening.signal()
        }
        // What the device has left to be done there, and what would keep the loop.
        try loop.runOnce(timeout: .zero)
        loop.discardAll()
      } catch {
        Issue.record("the server failed: \(error)")
        listening.signal()
      }
      finished.signal()
    }
    listening.wait()
    memory = try SharedMemory(byteCount: Self.memoryByteCount)
    self.options = options
    self.options.timeout = .seconds(60)
    client = try DeviceClient.connect(path: path, options: self.options)
    registers = try client.region(at: 0)
    admin = DriverQueue(identifier: 0, entryCount: 2, completions: 0, entries: 0)
    try attach()
    if isEnabled { try enable() }
  }

  private static func serve(
    _ storages: StorageSet?, _ knobs: KnobValues, _ loop: EventLoop, _ path: String,
    _ isListening: (_ stop: @escaping @Sendable () -> Void) -> Void
  ) throws {
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let function = try PCIFunction(
      NVMeDevice.self, knobs: knobs, backend: storages, loop: loop, logger: quiet)
    let host = DeviceHost(device: function, loop: loop, logger: quiet)
    let server = DeviceServer(host: host)
    try server.listen(path: path)
    let confined = LoopConfined(server)
    isListening { confined.value.stop { loop.stop() } }
    try loop.run()
  }

  deinit {
    client.close()
    if let stop = stop.take() { loop.post(stop) }
    if finished.wait(timeout: .now() + 60) == .timedOut {
      Issue.record("the device did not come to rest")
    }
    // Safety: a C string for the time of the call.
    _ = unsafe unlink(path)
  }

  // MARK: The client

  private func attach() throws {
    try grantMemory()
    try setCommand(6)
  }

  /// Lets the device reach guest memory.
  func grantMemory() throws {
    if isMapped {
      try client.mapMemory(memory, at: DMAAddress(Self.base))
    } else {
      try client.mapPrivateMemory(memory, at: DMAAddress(Self.base))
    }
  }

  /// Takes guest memory away.
  func revokeMemory() throws {
    try client.unmapMemory(at: DMAAddress(Self.base), byteCount: UInt64(memory.byteCount))
  }

  func disconnect() { client.close() }

  /// Comes back after ``disconnect()``.
  func connect() throws {
    client = try DeviceClient.connect(path: path, options: options)
    registers = try client.region(at: 0)
    try attach()
  }

  /// Writes the PCI command register: 2 memory, 4 bus master.
  func setCommand(_ bits: UInt16) throws {
    try client.region(at: PCIRegionIndex.configurationSpace).write(bits, at: RegionOffset(4))
  }

  /// The vectors of MSI-X, from 0, enabled and unmasked.
  func enableVectors(_ count: Int) throws -> [ClientInterrupt] {
    let interrupts = try client.enableInterrupts(index: 2, count: count)
    let configuration = try client.region(at: PCIRegionIndex.configurationSpace)
    var place: UInt8 = try configuration.read(at: RegionOffset(0x34))
    while place != 0 {
      let header: UInt16 = try configuration.read(at: RegionOffset(UInt64(place)))
      if header & 0xff == 0x11 {
        try configuration.write(UInt16(0x8000), at: RegionOffset(UInt64(place) + 2))
        break
      }
      place = UInt8(header >> 8)
    }
    for vector in 0..<count {
      try registers.write(UInt32(0), at: RegionOffset(0x2000 + UInt64(vector) * 16 + 12))
    }
    return interrupts
  }

  // MARK: Registers

  func load(_ offset: UInt64) throws -> UInt32 { try registers.read(at: RegionOffset(offset)) }
  func store(_ value: UInt32, _ offset: UInt64) throws {
    try registers.write(value, at: RegionOffset(offset))
  }

  /// Controller Status (CSTS).
  var status: ControllerStatus {
    get throws { ControllerStatus(rawValue: try load(ControllerRegisterOffset.status)) }
  }

  /// Looks again and again until `condition` holds, a minute at most.
  func wait(_ location: SourceLocation = #_sourceLocation, until condition: () throws -> Bool)
    throws
  {
    let end = MonotonicTime.now.advanced(by: .seconds(60))
    while MonotonicTime.now < end {
      if try condition() { return }
      // The server's messages are answered while this waits for a reply.
      if isMapped { usleep(100) } else { _ = try status }
    }
    Issue.record("the condition did not come true within a minute", sourceLocation: location)
    throw Errno.timedOut
  }

  /// Lets the device do what it has been asked to: each access is behind what was posted before it.
  func settle() throws {
    for _ in 0..<4 { _ = try status }
  }

  // MARK: Enable and disable

  /// Sets the admin queues up and CC.EN; does not wait.
  func startEnable(
    _ configuration: UInt32 = usualConfiguration, misalignment: UInt32 = 0,
    adminEntryCount: Int = 32
  ) throws {
    let pageByteCount = 4096 << Int(min(configuration >> 7 & 0xf, 4))
    admin = DriverQueue(
      identifier: 0, entryCount: adminEntryCount,
      completions: allocate(adminEntryCount * 16, pageByteCount: pageByteCount),
      entries: allocate(adminEntryCount * 64, pageByteCount: pageByteCount))
    commands = nil
    shadow = nil
    let last = UInt32(adminEntryCount - 1)
    try store(last << 16 | last, ControllerRegisterOffset.adminQueueAttributes)
    try registers.write(
      address(admin.entries) + UInt64(misalignment),
      at: RegionOffset(ControllerRegisterOffset.adminSubmissionQueue))
    try registers.write(
      address(admin.completions),
      at: RegionOffset(ControllerRegisterOffset.adminCompletionQueue))
    try store(configuration | 1, ControllerRegisterOffset.configuration)
  }

  func enable(
    _ configuration: UInt32 = usualConfiguration, adminEntryCount: Int = 32
  ) throws {
    try startEnable(configuration, adminEntryCount: adminEntryCount)
    try wait { try status.isReady }
  }

  /// Clears CC.EN; does not wait.
  func startDisable() throws {
    try store(Self.usualConfiguration, ControllerRegisterOffset.configuration)
  }

  func disable() throws {
    try startDisable()
    try wait { try !status.isReady }
  }

  // MARK: Memory

  /// Takes pages of guest memory; they are zeros.
  func allocate(_ byteCount: Int, pageByteCount: Int = 4096) -> Int {
    let place = (nextFree + pageByteCount - 1) & ~(pageByteCount - 1)
    nextFree = place + (byteCount + 4095) & ~4095
    precondition(nextFree <= memory.byteCount)
    return place
  }

  func address(_ place: Int) -> UInt64 { Self.base + UInt64(place) }

  func bytes(_ place: Int, _ byteCount: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try bytes.withMutableRawSpan { (span) throws(Errno) in try memory.read(at: place, into: &span) }
    return bytes
  }

  func write(_ bytes: [UInt8], _ place: Int) throws {
    try memory.write(at: place, from: bytes.rawSpan)
  }

  /// Writes 64-bit words, such as a PRP list.
  func write(words: [UInt64], _ place: Int) throws {
    for (index, word) in words.enumerated() {
      try memory.store64(word, at: place + index * 8)
    }
  }
}
