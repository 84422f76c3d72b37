/// The power management capability of a function: the states D0 and D3hot.
///
/// Source: PCI Bus Power Management Interface Specification 1.2, section 3.2.
public struct PCIPowerManagement: Hashable, Sendable {
  /// Whether the device keeps its state when it goes from D3hot back to D0 (No_Soft_Reset).
  ///
  /// When `false`, that transition resets the function.
  public var keepsState: Bool

  /// Power management with or without a reset on the way from D3hot to D0.
  public init(keepsState: Bool = false) {
    self.keepsState = keepsState
  }
}
