/// One of several sets of registers that share offsets, of which the device selects one at a time.
///
/// A 16550 UART, for instance, shows its divisor latch at offsets 0 and 1 only while LCR.DLAB is 1:
/// the divisor registers are declared in a bank of their own, those that they hide in bank 0, and
/// the device calls ``AnyRegisterBlock/selectBank(_:)`` when LCR is written. Registers declared
/// without a bank are visible in all of them.
public struct RegisterBank: Sendable, Hashable {
  /// Which bank, 0 to 15. Bank 0 is selected after a reset.
  public let index: Int
  /// When this bank is visible, for the manual: "LCR.DLAB is 1".
  public let condition: String

  /// Names a bank.
  ///
  /// - Parameters:
  ///   - index: 0 to 15; checked when the block is realised.
  ///   - condition: when it is visible, for the manual.
  public init(_ index: Int, _ condition: String) {
    self.index = index
    self.condition = condition
  }

  /// The largest bank index.
  static let maximumIndex = 15
}
