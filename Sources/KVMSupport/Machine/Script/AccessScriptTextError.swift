/// A line of a script that cannot be understood.
public struct AccessScriptTextError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The line's number, from 1 on.
  public let line: Int
  /// What is wrong with it.
  public let reason: String

  /// One line.
  public var description: String { "line \(line): \(reason)" }
}
