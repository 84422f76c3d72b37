/// Why a machine cannot be made, extended or run.
public struct MachineError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kind of failure.
  public struct Code: RawRepresentable, Hashable, Sendable {
    /// A number that identifies the kind.
    public let rawValue: UInt8

    /// Makes a code from its number.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// An option has a value that cannot be.
    public static let badOption = Code(rawValue: 1)
    /// A place on the bus that is taken, or that there is not.
    public static let badAddress = Code(rawValue: 2)
    /// A device that says of itself what cannot be.
    public static let badDevice = Code(rawValue: 3)
    /// The program for the guest cannot be used.
    public static let badGuest = Code(rawValue: 4)
    /// There is no `/dev/kvm` that can be used.
    public static let noHypervisor = Code(rawValue: 5)
    /// A system call failed.
    public static let systemCall = Code(rawValue: 6)
    /// The connection to a device failed.
    public static let connection = Code(rawValue: 7)
    /// The machine has run already.
    public static let hasRun = Code(rawValue: 8)
  }

  /// The kind of failure.
  public let code: Code
  /// One line: what is wrong.
  public let description: String

  /// Makes an error.
  public init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }
}
