/// What handled an access, for counting.
public enum AccessMechanism: Int, CaseIterable, Hashable, Sendable {
  /// A message that was waited for.
  case message
  /// A message that was not.
  case postedMessage
  /// A load or store by the monitor; the guest's own, through a slot of the hypervisor, are not seen.
  case mapped
  /// A command on an ioregionfd.
  case ioregionfd
  /// A command in a mailbox.
  case mailbox
  /// The signal of an eventfd; those that the hypervisor signals by itself are not seen.
  case ioeventfd
  /// A handler of the monitor.
  case monitor
}
