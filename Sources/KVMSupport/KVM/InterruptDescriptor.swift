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
  ///
  /// The kernel does both when the end of the interrupt reaches the local APIC. With the processor's help
  /// that is the guest's write to its register. A KVM that does without (builds of the module `kvm_pvm`)
  /// writes that register itself as it delivers an interrupt, before the guest's handler runs: a device that
  /// waits for the handler is still asserted when it is asked, and the interrupt may come once more, for
  /// nothing. The guest's own write finds nothing to end.
  public var resample: CInt?

  /// Makes one; nothing is checked.
  public init(line: UInt32, descriptor: CInt, resample: CInt? = nil) {
    self.line = line
    self.descriptor = descriptor
    self.resample = resample
  }
}
