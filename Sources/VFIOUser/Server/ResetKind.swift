/// What a reset comes from, and so what it covers.
public enum ResetKind: Sendable, Hashable {
  /// VFIO_USER_DEVICE_RESET: as if power had been cut.
  case device
  /// A function-level reset, asked for by the guest's driver.
  case functionLevel
  /// The return from D3hot to D0.
  case powerState
  /// The client went away and the policy is to reset.
  case connectionLost
}
