/// A device as the protocol core sees it: regions, interrupts and hooks, of any bus.
///
/// A bus glue implements it; device authors write against the bus (`PCIDevice` and the like).
///
/// Threads: confined to the loop of its server. Make it there.
public protocol ServedDevice: AnyObject {
  /// What clients are told. It must not change once the device is served.
  var layout: DeviceLayout { get }

  /// What answers region `index`; nil where the layout has no region there. Asked once, at the start.
  func region(at index: Int) -> Region?

  /// Hands the device what it works with. Called once, before anything else.
  func start(_ services: DeviceServices)

  /// A client has connected and agreed on the protocol.
  func clientConnected()

  /// The client is gone: its memory and interrupts are dropped, the device's state stays.
  func clientDisconnected()

  /// Puts the device back into its initial state.
  ///
  /// No access, and no DMA that the device was told of, is in flight.
  func reset(_ kind: ResetKind)

  /// Stops everything that a guest could notice: DMA, interrupts, changes of registers.
  ///
  /// - Returns: `.done`, or `.notYet` when the device calls `completion.done()` later.
  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence

  /// The fence that asked for `quiesce` has passed: the device may work again.
  func resume()

  /// The client has granted a range of its memory.
  func memoryMapped(_ range: DMARange)

  /// The client has taken a range of its memory back; no DMA into it is in flight.
  func memoryUnmapped(_ range: DMARange)
}

extension ServedDevice {
  /// Does nothing.
  public func clientConnected() {}
  /// Does nothing.
  public func clientDisconnected() {}
  /// Is quiet at once.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    .done
  }
  /// Does nothing.
  public func resume() {}
  /// Does nothing.
  public func memoryMapped(_ range: DMARange) {}
  /// Does nothing.
  public func memoryUnmapped(_ range: DMARange) {}
}
