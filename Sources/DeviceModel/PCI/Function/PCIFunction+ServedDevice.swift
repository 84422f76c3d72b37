import VFIOUser

extension PCIFunction: ServedDevice {
  /// What clients are told: nine regions and five interrupt types, as VFIO numbers them.
  public var layout: DeviceLayout {
    var layouts = [RegionLayout](repeating: .absent, count: PCIRegionIndex.count)
    for (index, region) in regions {
      let isROM = index == PCIRegionIndex.expansionROM
      layouts[index] = RegionLayout(
        byteCount: region.byteCount, rights: isROM ? [.read] : [.read, .write],
        mapping: mappings[index], paths: paths(ofBAR: index),
        isPortIO: hardware.bars.contains { $0.index == index && $0.kind == .io })
    }
    let interrupts = hardware.interrupts
    let messages: InterruptFlags = [.eventfd, .maskable]
    return DeviceLayout(
      flags: [.reset, .pci], regions: layouts,
      interrupts: [
        InterruptLayout(
          count: interrupts.pin == nil ? 0 : 1, flags: [.eventfd, .maskable, .automasked]),
        InterruptLayout(count: interrupts.msi?.vectorCount ?? 0, flags: messages),
        InterruptLayout(count: interrupts.msix?.vectorCount ?? 0, flags: messages),
        InterruptLayout(count: 1, flags: .eventfd),
        InterruptLayout(count: 1, flags: .eventfd),
      ])
  }

  /// What answers a region; `nil` where the function has none.
  public func region(at index: Int) -> Region? { regions[index] }

  /// Connects the function to its client side.
  public func start(_ services: DeviceServices) {
    self.services = services
    services.dma.isEnabled = interruptState.canMaster
    interruptController.attach(services.interrupts, interruptState)
  }

  /// Tells the device.
  public func clientConnected() { device?.clientConnected() }

  /// Tells the device.
  public func clientDisconnected() { device?.clientDisconnected() }

  /// Resets the function: configuration space, interrupts, registers, then the device.
  public func reset(_ kind: ResetKind) {
    let isPowerOn = kind == .device || kind == .connectionLost
    scheduler.cancelAll()
    configuration.reset(includingSticky: isPowerOn)
    resetContents(isPowerOn: isPowerOn)
    for set in services?.interrupts ?? [] { set.resetBusState() }
    interruptController.reset(interruptState)
    services?.dma.isEnabled = interruptState.canMaster
    device?.reset(kind)
  }

  /// Holds scheduled work and interrupts back, and asks the device to be quiet.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    scheduler.pause()
    interruptController.setQuiet(true)
    guard let services, !contentLoops.isEmpty else {
      return device?.quiesce(reason, completion) ?? .done
    }
    // An access that a reset has voided may still run there.
    services.settle(contentLoops) { [weak self] in
      guard let device = self?.device else { return completion.done() }
      if case .done = device.quiesce(reason, completion) { completion.done() }
    }
    return .notYet
  }

  /// Lets the device work again.
  public func resume() {
    interruptController.setQuiet(false)
    device?.resume()
    scheduler.resume()
  }

  /// Tells the device.
  public func memoryMapped(_ range: DMARange) { device?.memoryMapped(range) }

  /// Tells the device.
  public func memoryUnmapped(_ range: DMARange) { device?.memoryUnmapped(range) }
}
