/// An eventfd that raises an interrupt line of a machine (an irqfd).
///
/// Source: `KVM_IRQFD`.
public struct InterruptDescriptor: Hashable, Sendable {
  /// The line ("GSI"); where it goes is a matter of the routes.
  public var line: UInt32
  /// The eventfd that raises it, which stays its owner's.
  public var descriptor: CInt
  /// For a level interrupt: the eventfd that is signalled when the guest has ended it, so that whoever
  /// raised it looks whether there is more to do. The line goes down by itself then.
  public var resample: CInt?

  /// Makes one; nothing is checked.
  public init(line: UInt32, descriptor: CInt, resample: CInt? = nil) {
    self.line = line
    self.descriptor = descriptor
    self.resample = resample
  }
}
