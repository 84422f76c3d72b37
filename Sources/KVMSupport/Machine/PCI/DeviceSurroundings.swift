import VFIOUser

/// What a machine gives to each device that is attached to it.
struct DeviceSurroundings: Sendable {
  /// Where the device's windows are placed.
  let space: AddressSpace
  /// Where its interrupts go.
  let controller: any InterruptController
  /// The input of the controller that a pin (1 to 4) of a slot leads to.
  let line: @Sendable (_ slot: Int, _ pin: Int) -> Int
  /// The guest's memory, from address 0 on.
  let memory: SharedMemory
  /// What the device's server has said about its regions.
  let changes: RegionChanges
  /// Called after a window was placed elsewhere, so that others which found no room may try again.
  let windowsMoved: @Sendable () -> Void
  /// Called after a device was lost; as `windowsMoved`, later.
  let windowsLost: @Sendable () -> Void
  /// Tells whoever runs the machine.
  let report: @Sendable (MachineEvent) -> Void
}
