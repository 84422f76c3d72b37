/// A level-triggered interrupt line, as a device core drives it without knowing the bus.
///
/// The same core runs behind PCI INTx and behind a platform device's line: the bus connects the line
/// to what delivers it, and the core only says whether it asserts it.
///
/// Confined to the loop of the device.
public final class InterruptLine {
  /// Whether the device asserts the line.
  public private(set) var isAsserted = false
  private var deliver: ((Bool) -> Void)?

  /// Makes a line that is not asserted and connected to nothing.
  public init() {}

  /// Asserts the line or lets go of it; repeating the present level does nothing.
  public func set(_ isAsserted: Bool) {
    guard isAsserted != self.isAsserted else { return }
    self.isAsserted = isAsserted
    deliver?(isAsserted)
  }

  /// Connects the line to the bus, which learns the present level at once when it is asserted.
  ///
  /// - Parameter deliver: called with each change of level.
  public func connect(_ deliver: @escaping (Bool) -> Void) {
    self.deliver = deliver
    if isAsserted { deliver(true) }
  }
}
