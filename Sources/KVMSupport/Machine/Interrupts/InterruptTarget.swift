/// Where an eventfd of a device leads.
public enum InterruptTarget: Hashable, Sendable {
  /// A level-triggered input of the interrupt controller.
  ///
  /// `resample` is an eventfd: it is signalled when the guest has ended the interrupt, and then the
  /// device says whether it is still there.
  case line(Int, resample: CInt)
  /// A message.
  case message(InterruptMessage)
}
