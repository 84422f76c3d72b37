import VFIOUser

/// A very small machine: memory, CPUs, a PCI bus with devices that other processes serve, a console and a
/// port that ends it.
///
/// | What | Where |
/// |---|---|
/// | memory | from 0 on |
/// | devices' windows | wherever the guest puts them; 0xE0000000 to 0xFEBFFFFF is free |
/// | I/O APIC, local APICs | 0xFEC00000, 0xFEE00000 |
/// | configuration ports | 0xCF8 to 0xCFF |
/// | console | 0x3F8 to 0x3FF |
/// | exit port | 0xF4 |
///
/// The pins of the slots lead to the interrupt inputs 5, 9, 10 and 11, as ``line(slot:pin:)`` says.
///
/// Threads: any. ``run()`` keeps the calling thread; each CPU and each device's connection have one of their
/// own.
/// Events are told on yet another one.
public final class Machine: Sendable {
  /// What it was made of.
  public let options: MachineOptions
  /// The guest's memory.
  public let memory: SharedMemory
  /// Who answers the guest's accesses.
  public let space: AddressSpace
  /// The PCI bus.
  public let bridge = PCIHostBridge()
  /// Where interrupts go.
  public let controller: any InterruptController
  /// What the guest prints on.
  public let console: ConsolePort

  private let virtualMachine: VirtualMachine?
  private let softwareController: SoftwareInterruptController?
  private let events: MachineEvents
  private let state = Guarded(MachineState())

  /// Makes a machine without devices that does nothing yet.
  ///
  /// - Parameters:
  ///   - options: what it is made of.
  ///   - output: takes each byte that the guest prints, while the guest waits.
  ///   - onEvent: told of what happens to devices, on a thread of the machine's, one at a time.
  /// - Throws: `noHypervisor` when there is no KVM that can be used, `badOption`, `systemCall`.
  public init(
    _ options: MachineOptions = MachineOptions(),
    output: @escaping @Sendable (UInt8) -> Void = { _ in },
    onEvent: @escaping @Sendable (MachineEvent) -> Void = { _ in }
  ) throws(MachineError) {
    try options.check()
    self.options = options
    console = ConsolePort(output: output)
    let events = try Self.system("cannot start a thread") { () throws(Errno) in
      try MachineEvents(onEvent)
    }
    self.events = events
    memory = try Self.system("no memory for the guest") { () throws(Errno) in
      try SharedMemory(byteCount: Int(options.memoryByteCount), name: "guest")
    }
    switch options.engine {
    case .kvm:
      let machine = try Self.makeVirtualMachine()
      virtualMachine = machine
      softwareController = nil
      controller = KVMInterruptController(machine)
    case .software:
      let cpuCount = options.cpuCount
      let made = try Self.system("cannot make an eventfd") { () throws(Errno) in
        try SoftwareInterruptController(cpuCount: cpuCount)
      }
      virtualMachine = nil
      softwareController = made
      controller = made
    }
    space = AddressSpace(hypervisor: virtualMachine) { events.report($0) }
    let (space, memory, bridge, console) = (space, memory, bridge, console)
    let softwareController = softwareController
    try Self.system("the machine's addresses") { () throws(Errno) in
      try space.place(
        MemorySlot(
          address: GuestAddress(0), memory: memory, memoryOffset: 0,
          byteCount: UInt64(memory.byteCount), isReadOnly: false))
      try space.place(
        bridge, in: .port, at: PCIHostBridge.addressPort, byteCount: PCIHostBridge.portCount)
      try space.place(
        console, in: .port, at: ConsolePort.port, byteCount: ConsolePort.portCount)
      try space.place(
        ExitPort(), in: .port, at: AccessScript.exitPort, byteCount: ExitPort.portCount)
      // With KVM the kernel answers there; the place is taken all the same.
      try space.place(
        softwareController ?? ReservedPlace(), at: SoftwareInterruptController.address,
        byteCount: SoftwareInterruptController.byteCount)
      try space.place(ReservedPlace(), at: GuestAddress(0xfee0_0000), byteCount: 0x1000)
      try space.place(
        ReservedPlace(), at: VirtualMachine.reservedAddresses.lowerBound, byteCount: 0x4000)
    }
  }

  deinit { close() }

  private static func makeVirtualMachine() throws(MachineError) -> VirtualMachine {
    do {
      let machine = try VirtualMachine(kvm: KVM())
      try machine.createInterruptController()
      return machine
    } catch {
      throw MachineError(.noHypervisor, "\(error)")
    }
  }

  static func system<Result>(
    _ what: String, _ body: () throws(Errno) -> Result
  ) throws(MachineError) -> Result {
    do throws(Errno) { return try body() } catch {
      throw MachineError(.systemCall, "\(what): \(error)")
    }
  }

  /// The interrupt input that a pin of a slot leads to: neighbours share none where that can be.
  ///
  /// - Parameters:
  ///   - slot: the device number.
  ///   - pin: 1 for INTA to 4 for INTD.
  public static func line(slot: Int, pin: Int) -> Int {
    [10, 11, 5, 9][(slot + pin - 1) & 3]
  }

  // MARK: Devices

  /// How a machine connects to devices unless it is told otherwise: with every faster way on offer.
  public static var clientOptions: ClientOptions {
    var options = ClientOptions()
    options.offersMailbox = true
    options.offersPostedMessages = true
    return options
  }

  /// Attaches the device that a socket leads to.
  ///
  /// - Parameters:
  ///   - path: the socket, or a folder that holds one named `cntrl`.
  ///   - address: where it goes; nil for the next free slot.
  ///   - options: how each connection behaves.
  ///   - policy: what happens when the server is lost: the guest reads all ones, or it waits for the next
  ///     server. Calls of its own kind never wait, a server that does not answer counts as dead, and its
  ///     commands are answered at any time, whatever the policy says.
  /// - Throws: `connection` when the server cannot be reached, `badAddress`, `badDevice`.
  @discardableResult
  public func attach(
    path: String, at address: PCIAddress? = nil, options: ClientOptions = Machine.clientOptions,
    policy: ReconnectPolicy = .fail
  ) throws(MachineError) -> AttachedDevice {
    try attach(name: path, at: address, options: options, policy: policy) {
      () throws(ClientError) in
      try DeviceClient.openSocket(path, timeout: options.timeout)
    }
  }

  /// Attaches a device whose sockets are found in another way.
  ///
  /// - Parameters:
  ///   - name: what it is called in messages.
  ///   - address: where it goes; nil for the next free slot.
  ///   - options: how each connection shall behave, before the machine adds what it needs.
  ///   - policy: as for `attach(path:at:options:policy:)`.
  ///   - opening: makes a connected stream socket; now, and for each attempt after a loss.
  /// - Throws: as `attach(path:at:options:policy:)`.
  @discardableResult
  public func attach(
    name: String, at address: PCIAddress? = nil, options: ClientOptions = Machine.clientOptions,
    policy: ReconnectPolicy = .fail,
    opening: @escaping @Sendable () throws(ClientError) -> OwnedDescriptor
  ) throws(MachineError) -> AttachedDevice {
    guard let address = address ?? bridge.freeAddress else {
      throw MachineError(.badAddress, "no slot is free")
    }
    let link = DeviceLink()
    var options = options
    options.onRegionChanged = { [inner = options.onRegionChanged] region in
      link.changes.note(region)
      inner?(region)
    }
    let client = try AttachedDevice.connecting(name) { () throws(ClientError) in
      try ReconnectingClient.connect(
        options: options, policy: AttachedDevice.policy(policy),
        onEvent: { link.device?.handle($0) },
        restoring: { session throws(ClientError) in try link.restore(session) },
        opening: opening)
    }
    let device: AttachedDevice
    do throws(MachineError) {
      device = try AttachedDevice(
        client, at: address, name: name, surroundings(link.changes))
      link.serve(device)
      // Else nobody would have heard of its loss.
      if let failure = client.failure { throw MachineError(.connection, "\(name): \(failure)") }
      try bridge.attach(device, at: address)
    } catch {
      client.close()
      throw error
    }
    state.withLock { $0.devices.append(device) }
    events.add(device)
    return device
  }

  private func surroundings(_ changes: RegionChanges) -> DeviceSurroundings {
    let events = events
    return DeviceSurroundings(
      space: space, controller: controller, line: { Self.line(slot: $0, pin: $1) },
      memory: memory, changes: changes, windowsMoved: { events.retryPlacements() },
      windowsLost: { events.retryPlacementsLater() }, report: { events.report($0) })
  }

  /// What is attached, in the order in which it was.
  public var devices: [AttachedDevice] { state.withLock { $0.devices } }

  // MARK: Running

  /// Puts a guest into the machine's memory.
  ///
  /// - Throws: `badGuest` when it does not fit, or the engine cannot run it.
  public func load(_ source: GuestSource) throws(MachineError) {
    switch source {
    case .image(let image):
      guard options.engine == .kvm else {
        throw MachineError(.badGuest, "CPUs in software run scripts, and no programs")
      }
      try image.check(memoryByteCount: UInt64(memory.byteCount))
      let bytes = image.bytes
      try Self.system("cannot load the guest") { () throws(Errno) in
        try memory.write(at: Int(image.address.rawValue), from: bytes.rawSpan)
      }
    case .scripts(let scripts): try load(scripts)
    }
    state.withLock { $0.source = source }
  }

  private func load(_ scripts: [AccessScript]) throws(MachineError) {
    guard (1...options.cpuCount).contains(scripts.count), scripts.count <= 16 else {
      throw MachineError(
        .badGuest, "\(scripts.count) scripts for \(options.cpuCount) CPUs, 16 at most")
    }
    guard memory.byteCount >= AccessScriptPlacement.memoryByteCount(cpuCount: scripts.count) else {
      throw MachineError(.badGuest, "\(scripts.count) scripts need more memory")
    }
    try Self.system("a script cannot be used") { () throws(Errno) in
      try GuestProgram.accessScript.load(into: memory)
      for (cpu, script) in scripts.enumerated() {
        try script.load(into: memory, .standard(cpu: cpu))
      }
    }
  }

  /// Runs the guest to its end, once.
  ///
  /// The machine keeps its state, and can be looked at afterwards.
  /// - Throws: `hasRun`, `badGuest` when nothing was loaded, `badAddress` for a device that no guest would
  ///   find, `systemCall` when a CPU cannot be made.
  public func run() throws(MachineError) -> MachineEnding {
    if let hidden = bridge.hiddenAddress {
      throw MachineError(
        .badAddress, "\(hidden) has no function 0 beside it, and no guest would find it")
    }
    let source = try state.withLock { state throws(MachineError) in
      guard let source = state.source else {
        throw MachineError(.badGuest, "there is no guest to run")
      }
      guard !state.hasRun else { throw MachineError(.hasRun, "the machine has run already") }
      state.hasRun = true
      return source
    }
    let cpus = try makeCPUs(source)
    let runner = try Self.system("cannot make an eventfd") { () throws(Errno) in
      try MachineRunner(cpus, space, endsWithFirst: source.endsWithFirstCPU)
    }
    let isStopped = state.withLock { state in
      state.runner = runner
      return state.isStopped
    }
    if isStopped { return .stopped }
    let ending = try Self.system("cannot start a thread") { () throws(Errno) in
      try runner.run(
        kick: virtualMachine == nil ? nil : { for cpu in cpus { (cpu as? KVMGuestCPU)?.kick() } },
        // Whoever waits for a device that does not answer gives up.
        abandon: { for device in self.devices { device.abandon() } })
    }
    // What the guest has met is told before it has ended.
    for device in devices { device.awaitEvents() }
    events.awaitReports()
    return ending
  }

  private func makeCPUs(_ source: GuestSource) throws(MachineError) -> [any GuestCPU] {
    var cpus: [any GuestCPU] = []
    let cpuCount = source.cpuCount(of: options.cpuCount)
    for index in 0..<cpuCount {
      if let virtualMachine {
        do {
          let cpu = try virtualMachine.makeCPU(index)
          try cpu.set32BitFlatMode(source.registers(cpu: index, options))
          cpus.append(KVMGuestCPU(cpu))
        } catch {
          throw MachineError(.systemCall, "\(error)")
        }
      } else if let softwareController, case .scripts(let scripts) = source {
        cpus.append(
          ScriptedCPU(
            index: index, script: scripts[index], placement: .standard(cpu: index),
            memory: memory, controller: softwareController))
      }
    }
    return cpus
  }

  /// Ends the run in progress, or keeps a later one from beginning. Any thread.
  public func stop() {
    let runner = state.withLock { state in
      state.isStopped = true
      return state.runner
    }
    runner?.stop()
  }

  /// Lets go of every device. The machine cannot be used afterwards.
  ///
  /// It waits for no server, however it behaves.
  public func close() {
    stop()
    let devices = devices
    // First, so that nobody whom the rest waits for waits for a server.
    for device in devices { device.abandon() }
    events.end()
    // What the space leads to must not lead back to the space.
    for device in devices {
      device.detach()
      bridge.detach(at: device.address)
    }
    space.remove(bridge)
  }
}
