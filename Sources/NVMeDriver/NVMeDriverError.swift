public import NVMe

/// Why the driver could not do what it was asked for.
public struct NVMeDriverError: Error, Hashable, Sendable {
  /// What kind of failure it is.
  public enum Code: Sendable, Hashable {
    /// The controller answered with this status.
    case status(NVMeStatus)
    /// The controller did not answer in time.
    case timedOut
    /// The controller reports a fatal status (CSTS.CFS).
    case fatal
    /// The device is not an NVMe controller, or lacks what the driver needs.
    case unsupported
    /// The connection to the device failed.
    case connection
  }

  /// What kind of failure it is.
  public var code: Code
  /// What failed, for a person.
  public var context: String

  /// An error of a kind.
  public init(_ code: Code, _ context: String) {
    self.code = code
    self.context = context
  }
}
