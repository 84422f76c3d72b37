/// What configuration space says about interrupts and DMA at one moment.
struct PCIInterruptState: Equatable {
  var isBusMaster = false
  var isPowered = true
  var isPinDisabled = false
  var isMSIEnabled = false
  /// How many MSI vectors the driver has allowed, 1 to 32.
  var allowedMSICount = 1
  /// The mask bits of MSI.
  var msiMask: UInt32 = 0
  var isMSIXEnabled = false
  var isMSIXMasked = false

  /// Whether the function may write to memory: DMA and messages.
  var canMaster: Bool { isBusMaster && isPowered }

  /// Whether the pin is out of use because messages are.
  var usesMessages: Bool { isMSIEnabled || isMSIXEnabled }
}

extension PCIConfigurationLayout {
  /// Reads the state from the space.
  func interruptState(
    of space: PCIConfigurationSpace, _ interrupts: PCIInterrupts
  ) -> PCIInterruptState {
    var state = PCIInterruptState()
    let command = PCICommand(rawValue: space.load(at: PCIConfigurationOffset.command))
    state.isBusMaster = command.contains(.busMaster)
    state.isPinDisabled = command.contains(.interruptDisable)
    if let powerManagement {
      state.isPowered = space.load(at: powerManagement + 4, as: UInt16.self) & 3 == 0
    }
    if let msi, let declaration = interrupts.msi {
      let control: UInt16 = space.load(at: msi + 2)
      state.isMSIEnabled = control & 1 != 0
      // A driver that asks for more than there is gets what there is.
      state.allowedMSICount = min(1 << Int(control >> 4 & 7), declaration.vectorCount)
      if let mask = MSIRegisters(declaration).mask {
        state.msiMask = space.load(at: msi + mask)
      }
    }
    if let msix {
      let control: UInt16 = space.load(at: msix + 2)
      state.isMSIXEnabled = control & 0x8000 != 0
      state.isMSIXMasked = control & 0x4000 != 0
    }
    return state
  }
}
