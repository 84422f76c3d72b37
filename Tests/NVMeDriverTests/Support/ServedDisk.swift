import BlockStorage
import DeviceModel
import EmulatedDevices
import Foundation
import Logging
import NVMeDriver
import VFIOUser

/// Our NVMe controller, served on threads of this process; drivers come one after the other.
final class ServedDisk {
  /// How it is served.
  struct Settings: Sendable {
    var namespaces = ["memory:4M"]
    var knobs: [String] = []
    var polling = PollingMode.never
    var onDisconnect = DeviceOptions.DisconnectPolicy.keep
    /// CAP.DSTRD: doorbells are 4 shifted by so many bytes apart. Shadows are where they are without.
    var doorbellStride: UInt8 = 0
  }

  /// The server, which only the loop touches.
  private final class Holder: @unchecked Sendable {
    var server: DeviceServer?
    var failure: (any Error)?
  }

  /// Where drivers find it.
  let path: String
  private let loop: EventLoop
  private let holder = Holder()
  private var thread: TestThread?

  /// Serves storages that are opened by their specifications.
  convenience init(_ settings: Settings = Settings()) throws {
    try self.init(
      settings, storages: try settings.namespaces.map { try StorageSpecification($0).open() })
  }

  /// Serves the given storages.
  init(
    _ settings: Settings = Settings(), storages: [any BlockStorage],
    kind: any (PCIDevice & SendableMetatype).Type = NVMeDevice.self
  ) throws {
    let path = "/tmp/vfio-user-nvme-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    self.path = path
    let loop = try EventLoop(polling: settings.polling)
    self.loop = loop
    let holder = holder
    let ready = DispatchSemaphore(value: 0)
    thread = TestThread {
      do {
        holder.server = try Self.makeServer(kind, settings, storages, loop)
        try holder.server?.listen(path: path)
        ready.signal()
        try loop.run()
      } catch {
        holder.failure = error
        ready.signal()
      }
      holder.server = nil
      // What was posted last keeps what it is about.
      try? loop.runOnce(timeout: .zero)
    }
    ready.wait()
    if let failure = holder.failure {
      thread = nil
      throw failure
    }
  }

  private static func makeServer(
    _ kind: any PCIDevice.Type, _ settings: Settings, _ storages: [any BlockStorage],
    _ loop: EventLoop
  ) throws -> DeviceServer {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var knobs = try KnobValues(
      device: kind.declaration.name, declaring: kind.declaration.knobs)
    for knob in settings.knobs { try knobs.set(knob) }
    let function = try PCIFunction(
      kind, knobs: knobs, backend: StorageSet(storages), loop: loop, logger: logger)
    var options = DeviceOptions()
    options.onDisconnect = settings.onDisconnect
    let device: any ServedDevice =
      settings.doorbellStride == 0
      ? function : StridedDisk(function, doorbellStride: settings.doorbellStride)
    return DeviceServer(
      host: DeviceHost(device: device, loop: loop, options: options, logger: logger),
      logger: logger)
  }

  deinit { stop() }

  /// Ends the connection and the server.
  func stop() {
    guard let thread else { return }
    let (loop, holder) = (loop, holder)
    loop.post { holder.server?.stop { loop.stop() } }
    thread.join()
    self.thread = nil
  }

  /// A driver of the device.
  func attach(
    _ doorbells: NVMeDoorbells = .auto, timeout: Duration = .seconds(60),
    memoryByteCount: Int = 16 << 20, sharesMemory: Bool = true
  ) throws -> NVMeController {
    var options = NVMeDriverOptions()
    options.doorbells = doorbells
    options.timeout = timeout
    options.memoryByteCount = memoryByteCount
    options.sharesMemory = sharesMemory
    return try NVMeController.attach(path: path, options: options)
  }

  /// Carries out `body` while the device's loop does nothing at all: a server that hangs.
  func whileHung(_ body: () throws -> Void) rethrows {
    let begun = DispatchSemaphore(value: 0)
    let over = DispatchSemaphore(value: 0)
    loop.post {
      begun.signal()
      over.wait()
    }
    begun.wait()
    defer { over.signal() }
    try body()
  }
}
