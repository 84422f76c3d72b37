/// How the interrupts of one type behave.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_IRQ_INFO`; `VFIO_IRQ_INFO_*` in
/// `linux/vfio.h`.
public struct InterruptFlags: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire; unknown ones are kept.
  public let rawValue: UInt32

  /// Makes flags from the bits on the wire.
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// The interrupt can be signalled through an eventfd.
  public static let eventfd = InterruptFlags(rawValue: 1 << 0)
  /// The client can mask and unmask the interrupt.
  public static let maskable = InterruptFlags(rawValue: 1 << 1)
  /// The interrupt masks itself when it is signalled, until the client unmasks it.
  public static let automasked = InterruptFlags(rawValue: 1 << 2)
  /// The interrupts are set up all at once: a larger set needs the type disabled first.
  public static let noresize = InterruptFlags(rawValue: 1 << 3)
}
