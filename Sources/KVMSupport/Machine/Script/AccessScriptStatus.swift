/// How an `AccessScript` ended: what its CPU wrote to the exit port.
public struct AccessScriptStatus: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// The 32-bit value that was written.
  public let rawValue: UInt32

  /// Takes a value.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Every operation was carried out.
  public static let done = AccessScriptStatus(rawValue: 0)
  /// A poll reached its limit.
  public static let timedOut = AccessScriptStatus(rawValue: 0x200)
  /// The table was damaged.
  public static let badEntry = AccessScriptStatus(rawValue: 0x300)
  /// The CPU raised an exception, the vectors 0 to 31.
  public static func exception(_ vector: UInt8) -> AccessScriptStatus {
    AccessScriptStatus(rawValue: 0x100 | UInt32(vector))
  }

  /// In words.
  public var description: String {
    switch rawValue {
    case 0: "done"
    case 1...0xff: "ended with status \(rawValue)"
    case 0x100...0x11f: "exception \(rawValue & 0xff)"
    case Self.timedOut.rawValue: "a poll reached its limit"
    case Self.badEntry.rawValue: "a damaged table"
    default: "status 0x\(String(rawValue, radix: 16))"
    }
  }
}
