/// Why a program cannot go on: one line that says what to do, and the exit code.
public struct ProgramError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What the process exits with.
  public enum Code: Int32, Sendable {
    /// Something went wrong while running.
    case runtime = 1
    /// The command line cannot be obeyed (EX_USAGE of sysexits.h).
    case usage = 64
  }

  /// The exit code.
  public let code: Code
  /// One line: what is wrong and what to do about it.
  public let description: String

  /// Makes an error; line breaks in `description` become spaces.
  public init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description.oneLine
  }
}

extension String {
  /// The text with each run of line breaks and the space around it replaced by one space.
  var oneLine: String {
    split(whereSeparator: \.isNewline)
      .map { line in
        let start = line.firstIndex { !$0.isWhitespace } ?? line.endIndex
        let end = line.lastIndex { !$0.isWhitespace }.map(line.index(after:)) ?? line.endIndex
        return start < end ? String(line[start..<end]) : ""
      }
      .filter { !$0.isEmpty }.joined(separator: " ")
  }
}
