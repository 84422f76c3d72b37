/// Where an eventfd of a device leads.
public enum InterruptTarget: Hashable, Sendable {
  /// A level-triggered input of the interrupt controller.
  ///
  /// `resample` is an eventfd: it is signalled when the guest has ended the interrupt, and then the
  /// device says whether it is still there. Some hosts say so too early, and the guest is interrupted once
  /// more than necessary: see ``InterruptDescriptor/resample``.
  case line(Int, resample: CInt)
  /// A message.
  case message(InterruptMessage)
}
