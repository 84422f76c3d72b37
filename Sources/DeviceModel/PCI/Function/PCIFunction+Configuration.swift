import VFIOUser

extension PCIFunction {
  /// The bit of Device Control that starts a function-level reset; it reads 0.
  private static let initiateReset: UInt8 = 0x80

  /// Brings the bits that hardware changes up to date: interrupt status and pending messages.
  func refreshConfiguration() {
    typealias Offset = PCIConfigurationOffset
    var status = PCIStatus(rawValue: configuration.load(at: Offset.status))
    if interruptController.isPinAsserted {
      status.insert(.interrupt)
    } else {
      status.remove(.interrupt)
    }
    configuration.store(status.rawValue, at: Offset.status)
    if let msi = configurationLayout.msi, let declaration = hardware.interrupts.msi,
      let pending = MSIRegisters(declaration).pending
    {
      configuration.store(interruptController.pendingMSIs, at: msi + pending)
    }
  }

  /// Writes to configuration space as a driver does, and does what follows from it.
  ///
  /// A write that resets the function or ends its bus mastering is answered once nothing is in
  /// flight any more.
  func writeConfiguration(_ bytes: [UInt8], at start: Int, _ access: AccessContext) {
    let before = interruptState
    let powerBefore = powerState
    for (index, byte) in bytes.enumerated() { configuration.write(byte, at: start + index) }
    refusePowerStates(before: powerBefore)
    let after = interruptState

    var isReset = false
    var reason: QuiesceReason?
    if requestsFunctionReset(bytes, at: start) {
      reason = .reset(.functionLevel)
      isReset = true
    } else if powerBefore == 3, powerState == 0, !(hardware.powerManagement?.keepsState ?? true) {
      reason = .reset(.powerState)
      isReset = true
    } else if before.canMaster, !after.canMaster {
      reason = .busMasterDisabled
    }
    // A function that is about to be reset neither reads guest memory nor signals any more.
    if !isReset { applyInterruptState() } else { services?.dma.isEnabled = false }
    device?.configurationWritten(start..<(start + bytes.count))

    guard let reason else { return }
    let finish: () -> Void = { [weak self] in
      if case .reset(let kind) = reason { self?.reset(kind) }
    }
    guard let services else { return finish() }
    let reply = access.deferReplyAcrossReset()
    services.fence(reason) {
      finish()
      reply?.complete()
    }
  }

  /// What configuration space says about interrupts and DMA.
  var interruptState: PCIInterruptState {
    configurationLayout.interruptState(of: configuration, hardware.interrupts)
  }

  /// Lets interrupts and DMA through, or not, as configuration space says.
  func applyInterruptState() {
    let state = interruptState
    services?.dma.isEnabled = state.canMaster
    interruptController.update(state)
  }

  /// The power state: 0 for D0, 3 for D3hot.
  private var powerState: UInt16 {
    guard let power = configurationLayout.powerManagement else { return 0 }
    return configuration.load(at: power + 4, as: UInt16.self) & 3
  }

  /// D1 and D2 do not exist here: a write of them completes and changes nothing.
  private func refusePowerStates(before: UInt16) {
    guard let power = configurationLayout.powerManagement else { return }
    let control: UInt16 = configuration.load(at: power + 4)
    guard control & 3 == 1 || control & 3 == 2 else { return }
    configuration.store(control & ~3 | before, at: power + 4)
  }

  private func requestsFunctionReset(_ bytes: [UInt8], at start: Int) -> Bool {
    guard let express = configurationLayout.pciExpress,
      hardware.pciExpress?.hasFunctionLevelReset == true
    else { return false }
    let index = express + 9 - start
    return bytes.indices.contains(index) && bytes[index] & Self.initiateReset != 0
  }
}
