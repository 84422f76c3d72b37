public import NVMe
import VFIOUser

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
    /// The device has completed a command that was not in flight; only a reset helps.
    case invalidCompletion
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

  /// What an error of the connection means to a driver.
  init(_ error: ClientError, _ what: String) {
    switch error.code {
    case .timedOut: self.init(.timedOut, what)
    case .unsupported: self.init(.unsupported, "\(what): \(error.context)")
    default: self.init(.connection, "\(what): \(error)")
    }
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
