/// A level-triggered interrupt of a device, delivered however the driver has set it up.
///
/// With the pin in use, the line drives the pin; several lines of a function share it. With MSI or
/// MSI-X in use, every rise of the line sends the message of its vector instead, and so does
/// turning messages on while the line is high.
///
/// Confined to the function's loop.
public final class PCIInterruptLine {
  /// The vector whose message the line sends.
  public let vector: Int
  /// Whether the device asserts the line.
  public private(set) var isAsserted = false
  private unowned let controller: PCIInterruptController

  init(vector: Int, controller: PCIInterruptController) {
    self.vector = vector
    self.controller = controller
  }

  /// Asserts or releases the line. Setting it to what it is does nothing.
  public func set(_ asserted: Bool) {
    guard asserted != isAsserted else { return }
    isAsserted = asserted
    controller.lineChanged(self, isNewCause: asserted)
  }

  /// Asserts the line for one more cause: with messages in use another message is sent, even if the
  /// line was high.
  public func raise() {
    isAsserted = true
    controller.lineChanged(self, isNewCause: true)
  }

  /// Releases the line.
  public func lower() { set(false) }

  /// Releases the line without telling anybody, as a reset does.
  func forget() { isAsserted = false }
}
