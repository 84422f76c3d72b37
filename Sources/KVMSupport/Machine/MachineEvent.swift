import VFIOUser

/// Something that whoever runs a machine should know of; the guest goes on.
///
/// Several may come for one cause, such as a port and then the device that it belongs to.
public enum MachineEvent: Sendable, CustomStringConvertible {
  /// A device's server died, broke the protocol or did not answer in time. From now on the guest reads
  /// all ones where the device was, and what it writes there is dropped; or it waits, where the device is
  /// given time to come back.
  case deviceLost(PCIAddress, name: String, ClientError)
  /// A device that was lost is back.
  case deviceResumed(PCIAddress, name: String)
  /// A device that was lost is waited for no longer: all ones from now on.
  case deviceGivenUp(PCIAddress, name: String, ClientError)
  /// An access was in flight when the device was lost, and may not be repeated: a read gave all ones, of
  /// a write nobody knows whether it had its effect. Told once for those that follow each other.
  case accessInterrupted(PCIAddress, ClientError)
  /// A device has changed how a region is reached.
  case deviceReplanned(PCIAddress, region: Int)
  /// A window was not placed where the guest has put it: something else is there.
  case windowRefused(PCIAddress, bar: Int, GuestAddress, Errno)
  /// An interrupt cannot be delivered.
  case interruptRefused(PCIAddress, String)
  /// A descriptor of a device is of no use any more; its ranges are reached by messages.
  case portFailed(PCIAddress?, IORegionFailure)

  /// One line.
  public var description: String {
    switch self {
    case .deviceLost(let address, let name, let error): "\(address) (\(name)) is lost: \(error)"
    case .deviceResumed(let address, let name): "\(address) (\(name)) is back"
    case .deviceGivenUp(let address, let name, let error):
      "\(address) (\(name)) is given up: \(error)"
    case .accessInterrupted(let address, _):
      "\(address): an access was in flight when the device was lost"
    case .deviceReplanned(let address, let region):
      "\(address): region \(region) is reached in another way"
    case .windowRefused(let address, let bar, let place, let errno):
      "\(address): BAR \(bar) cannot be at \(place): \(errno)"
    case .interruptRefused(let address, let reason): "\(address): \(reason)"
    case .portFailed(let address, let failure):
      "\(address.map { "\($0): " } ?? "")a descriptor failed: \(failure)"
    }
  }
}
