public import NVMe

/// Why the driver could not do what it was asked for.
public struct NVMeDriverError: Error, Hashable, Sendable, CustomStringConvertible {
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
    /// What the caller asked for is not possible.
    case invalidArgument
    /// The memory for queues and data is used up.
    case outOfMemory
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

  /// One line for a person.
  public var description: String {
    switch code {
    case .status(let status): "\(context): \(status)"
    case .timedOut: "\(context): no answer in time"
    case .fatal: "\(context): the controller reports a fatal error"
    default: context
    }
  }
}
