import Logging
import VFIOUser

/// One PCI function: what a device sees of the bus, and what a server sees of the device.
///
/// The function makes the device, owns it, and does everything that is the bus's business:
/// configuration space, windows, interrupt routing and resets. A device uses it to find its
/// registers, to reach guest memory and to raise interrupts.
///
/// Threads: confined to the event loop it was made for.
public final class PCIFunction {
  /// The hardware that the device declared.
  public let hardware: PCIHardware
  /// The values of the device's knobs, fixed.
  public let knobs: KnobValues
  /// Where the device may log what happens on the control path.
  public let logger: Logger
  /// The loop that runs the device. Work from other threads comes in through its `post`.
  public let loop: EventLoop
  /// The configuration space as it is now.
  public internal(set) var configuration: PCIConfigurationSpace

  let configurationLayout: PCIConfigurationLayout
  let interruptController: PCIInterruptController
  let scheduler: PCIScheduler
  var services: DeviceServices?
  private let backendObject: AnyObject?
  var contents: [ContentPlace: Content] = [:]
  private(set) var regions: [Int: Region] = [:]
  /// What clients may map, by BAR.
  var mappings: [Int: RegionMapping] = [:]
  private(set) var device: (any PCIDevice)?
  var isRealised = false
  /// The loops that run contents of BARs, the function's own left out.
  var contentLoops: [EventLoop] = []
  /// The threads of the device's further loops.
  var workers: [LoopThread] = []

  struct ContentPlace: Hashable {
    var bar: Int
    var name: String
  }

  struct Content {
    var declaration: BARContent
    var block: AnyRegisterBlock?
    var memory: DeviceMemory?
    var sharedMemory: SharedDeviceMemory?
    /// What answers accesses; the block or the memory, unless the device put something before it.
    var handler: (any RegionHandler)?
    /// What runs the handler; nil for the function's loop.
    var loop: EventLoop?
    var isConcurrent = false
    /// How parts of it wish to be reached now.
    var paths: [RegionPath] = []
  }

  /// Makes a device of the given kind, with its function.
  ///
  /// - Parameters:
  ///   - kind: the device.
  ///   - knobs: the values of its knobs; `nil` for the defaults.
  ///   - backend: what it is connected to on the host, if anything.
  ///   - loop: the loop that will run it. Call this on it, or before it runs.
  ///   - logger: where it logs.
  /// - Throws: ``PCIHardwareError`` or ``DeclarationError`` for a wrong declaration, or what the
  ///   device throws.
  public convenience init(
    _ kind: any PCIDevice.Type, knobs: KnobValues? = nil, backend: AnyObject? = nil,
    loop: EventLoop, logger: Logger = Logger(label: "vfio-user.device")
  ) throws {
    try self.init(
      kind.declaration, knobs: knobs, backend: backend, loop: loop, logger: logger,
      make: { try kind.init($0) })
  }

  /// Makes a device from a declaration and what realises it.
  init(
    _ declaration: PCIDeviceDeclaration, knobs: KnobValues?, backend: AnyObject?,
    loop: EventLoop, logger: Logger, make: (PCIFunction) throws -> any PCIDevice
  ) throws {
    var values =
      try knobs ?? KnobValues(device: declaration.name, declaring: declaration.knobs)
    values.fix()
    self.knobs = values
    hardware = try declaration.hardware(values)
    try hardware.validate()
    configurationLayout = try PCIConfigurationLayout(hardware: hardware)
    configuration = configurationLayout.space
    interruptController = PCIInterruptController(hardware.interrupts)
    scheduler = PCIScheduler(loop: loop)
    backendObject = backend
    self.loop = loop
    self.logger = logger
    for bar in hardware.bars {
      let backing = try Self.sharedMemory(of: bar)
      mappings[bar.index] = backing
      for content in bar.contents {
        contents[ContentPlace(bar: bar.index, name: content.name)] = try Self.realise(
          content, backing?.memory)
        contents[ContentPlace(bar: bar.index, name: content.name)]?.paths = content.paths
      }
    }
    device = try make(self)
    try buildRegions()
    isRealised = true
  }

  deinit {
    // Before the device goes: what the other loops run may still use it.
    services?.endRemoteAccess()
    for worker in workers { worker.end() }
  }

  /// The memory behind what clients may map of a BAR; nil where there is nothing.
  private static func sharedMemory(of bar: BAR) throws -> RegionMapping? {
    var areas: [RegionArea] = []
    for content in bar.contents {
      guard case .sharedMemory = content.kind else { continue }
      areas.append(
        RegionArea(offset: RegionOffset(content.offset), byteCount: content.byteCount))
    }
    guard let end = areas.map({ $0.offset.rawValue + $0.byteCount }).max() else { return nil }
    guard let byteCount = Int(exactly: end) else { throw Errno.noMemory }
    // One file serves all of the BAR; pages that nobody touches take no memory.
    return RegionMapping(memory: try SharedMemory(byteCount: byteCount), areas: areas)
  }

  private static func realise(_ content: BARContent, _ backing: SharedMemory?) throws -> Content {
    switch content.kind {
    case .registers(let make):
      let block = try make()
      return Content(declaration: content, block: block, handler: block)
    case .memory:
      guard let byteCount = Int(exactly: content.byteCount) else { throw Errno.noMemory }
      let memory = DeviceMemory(byteCount: byteCount)
      return Content(declaration: content, memory: memory, handler: memory)
    case .sharedMemory:
      guard let backing, let base = Int(exactly: content.offset),
        let byteCount = Int(exactly: content.byteCount)
      else { throw Errno.noMemory }
      let memory = SharedDeviceMemory(backing, base: base, byteCount: byteCount)
      return Content(declaration: content, sharedMemory: memory, handler: memory)
    case .readOnlyMemory(let bytes):
      let memory = DeviceMemory(readOnly: bytes)
      return Content(declaration: content, memory: memory, handler: memory)
    case .handler:
      return Content(declaration: content)
    }
  }

  private func buildRegions() throws {
    for bar in hardware.bars {
      var ranges: [RegionRange] = []
      for content in bar.contents {
        let place = ContentPlace(bar: bar.index, name: content.name)
        guard let realised = contents[place], let handler = realised.handler else {
          throw PCIHardwareError(
            .badContent,
            "BAR \(bar.index): the device gave no handler for \"\(content.name)\"")
        }
        ranges.append(
          RegionRange(
            offset: RegionOffset(content.offset), byteCount: content.byteCount, handler: handler,
            loop: realised.loop, isConcurrent: realised.isConcurrent))
      }
      ranges += interruptRanges(in: bar)
      regions[bar.index] = try Region(byteCount: bar.byteCount, ranges: ranges)
    }
    if let rom = hardware.expansionROM {
      regions[PCIRegionIndex.expansionROM] = try Region(
        byteCount: rom.windowByteCount,
        ranges: [
          RegionRange(
            offset: RegionOffset(0), byteCount: UInt64(rom.image.count),
            handler: DeviceMemory(readOnly: rom.image))
        ])
    }
    regions[PCIRegionIndex.configurationSpace] = try Region(
      byteCount: UInt64(configuration.byteCount), handler: PCIConfigurationHandler(self))
  }

  private func interruptRanges(in bar: BAR) -> [RegionRange] {
    guard let msix = hardware.interrupts.msix else { return [] }
    var ranges: [RegionRange] = []
    if msix.table.bar == bar.index, let table = interruptController.table {
      ranges.append(
        RegionRange(
          offset: RegionOffset(msix.table.offset), byteCount: UInt64(msix.tableByteCount),
          handler: table))
    }
    if msix.pendingBits.bar == bar.index, let pendingBits = interruptController.pendingBits {
      ranges.append(
        RegionRange(
          offset: RegionOffset(msix.pendingBits.offset),
          byteCount: UInt64(msix.pendingBitsByteCount), handler: pendingBits))
    }
    return ranges
  }

  // MARK: - What lies in the windows

  /// The register block that the hardware declares for `map`.
  ///
  /// - Parameters:
  ///   - map: the registers.
  ///   - name: which content, where several have the same map; the map's name by default.
  /// - Throws: ``PCIHardwareError`` when no BAR declares it.
  public func registers<Map: RegisterMap>(
    _ map: Map.Type, in name: String? = nil
  ) throws(PCIHardwareError) -> RegisterBlock<Map> {
    let name = name ?? "\(Map.self)"
    for (place, content) in contents where place.name == name {
      if let block = content.block as? RegisterBlock<Map> { return block }
    }
    throw PCIHardwareError(.badContent, "no BAR declares registers named \"\(name)\"")
  }

  /// The plain memory with the given name.
  ///
  /// - Throws: ``PCIHardwareError`` when the BAR declares none of that name.
  public func memory(_ name: String, in bar: Int) throws(PCIHardwareError) -> DeviceMemory {
    guard let memory = contents[ContentPlace(bar: bar, name: name)]?.memory else {
      throw PCIHardwareError(.badContent, "BAR \(bar) declares no memory named \"\(name)\"")
    }
    return memory
  }

  /// The memory with the given name that clients may map.
  ///
  /// - Throws: ``PCIHardwareError`` when the BAR declares none of that name.
  public func sharedMemory(
    _ name: String, in bar: Int
  ) throws(PCIHardwareError) -> SharedDeviceMemory {
    guard let memory = contents[ContentPlace(bar: bar, name: name)]?.sharedMemory else {
      throw PCIHardwareError(
        .badContent, "BAR \(bar) declares no shared memory named \"\(name)\"")
    }
    return memory
  }

  /// Lets `handler` answer the accesses to a content of a BAR.
  ///
  /// A content declared as a handler needs it. Registers and memory have a handler already; the new
  /// one takes its place and may pass accesses on to it. Only during the device's initialiser.
  /// - Throws: ``PCIHardwareError`` when the BAR declares no content of that name.
  public func setHandler(
    _ handler: any RegionHandler, for name: String, in bar: Int
  ) throws(PCIHardwareError) {
    precondition(!isRealised, "handlers are set in the device's initialiser")
    let place = ContentPlace(bar: bar, name: name)
    guard contents[place] != nil else {
      throw PCIHardwareError(.badContent, "BAR \(bar) declares no content named \"\(name)\"")
    }
    contents[place]?.handler = handler
  }

  /// Every register block of the function, in no particular order; for traces and saved state.
  public var registerBlocks: [AnyRegisterBlock] { contents.values.compactMap(\.block) }

  // MARK: - What the device may do

  /// Guest memory, as far as the client grants it.
  ///
  /// Not in the device's initialiser: there is no client side yet then.
  public var dma: DMAEngine {
    guard let services else {
      preconditionFailure("guest memory is out of reach in a device's initialiser")
    }
    return services.dma
  }

  /// A level-triggered interrupt that uses the pin, or the message of `vector` when messages are in
  /// use.
  ///
  /// Make it in the device's initialiser and keep it.
  public func interruptLine(vector: Int = 0) -> PCIInterruptLine {
    interruptController.makeLine(vector: vector)
  }

  /// Connects the line of a core that knows no bus; see ``interruptLine(vector:)``.
  public func connect(_ line: InterruptLine, vector: Int = 0) {
    let own = interruptLine(vector: vector)
    line.connect { own.set($0) }
  }

  /// Sends the message of a vector, by MSI-X or MSI, whichever the driver uses; lost when it uses
  /// neither.
  ///
  /// While the vector is masked, or the function may not write to memory, it is pending.
  public func raise(vector: Int) { interruptController.raise(vector) }

  /// Whether the driver has turned on MSI or MSI-X, so that the pin is out of use.
  public var usesMessageInterrupts: Bool { interruptController.usesMessages }

  /// Runs `work` on the loop, `delay` from now or a little later.
  ///
  /// It waits while the device is quiet, and a reset cancels it.
  @discardableResult
  public func after(_ delay: Duration, _ work: @escaping () -> Void) -> ScheduledWork {
    scheduler.schedule(after: delay, work)
  }

  /// What the device is connected to on the host, if it is of the asked type.
  public func backend<Backend>(as type: Backend.Type = Backend.self) -> Backend? {
    backendObject as? Backend
  }

  // MARK: - Resets

  /// Gives registers and memory their values after power-on.
  func resetContents(isPowerOn: Bool) {
    for content in contents.values {
      content.block?.reset(includingSticky: isPowerOn)
      if isPowerOn {
        content.memory?.reset()
        content.sharedMemory?.reset()
      }
    }
  }
}
