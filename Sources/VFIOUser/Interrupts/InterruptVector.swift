/// The state of one vector: who listens, who masks, what waits.
final class InterruptVector {
  /// Where the client wants to be told; nil when the vector is not assigned.
  var trigger: EventDescriptorBox?
  /// Told when the bus masks the vector.
  var onMask: EventDescriptorBox?
  /// Told when the bus unmasks the vector.
  var onUnmask: EventDescriptorBox?
  /// The client's descriptor that unmasks a level-triggered line (resample).
  var resample: EventDescriptorBox?
  var resampleWatch: WatchToken?
  /// How other loops deliver the vector; nil while none asked for it.
  var direct: DirectDelivery?

  /// Masked by SET_IRQS.
  var isClientMasked = false
  /// Masked by the bus: a table entry, a mask bit.
  var isBusMasked = false
  /// Masked by having fired: a level-triggered line waits for its UNMASK.
  var isAutomasked = false
  /// Raised, but not delivered yet.
  var isPending = false
  /// The level of a level-triggered line.
  var isAsserted = false
}
