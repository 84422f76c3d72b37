/// A line of text from whoever holds the other ends of the wires.
enum GpioCommand: Equatable {
  /// `set LINE 0|1`: drives an input line.
  case set(line: Int, isHigh: Bool)
  /// `get LINE`: asks for the level of an input line.
  case get(line: Int)
  /// `inputs`: asks for all input lines.
  case inputs
  /// `outputs`: asks for all output lines.
  case outputs

  /// Why a line is no command; the text follows `error `.
  struct Mistake: Error, Equatable {
    let text: String
  }

  /// How many lines there are in each direction.
  static let lineCount = 16

  /// Understands one line; words are separated by spaces.
  init(_ text: String) throws(Mistake) {
    let words = text.split(separator: " ")
    switch (words.first, words.count) {
    case ("set", 3):
      self = .set(line: try Self.line(words[1]), isHigh: try Self.level(words[2]))
    case ("set", _): throw Mistake(text: "write: set LINE 0|1")
    case ("get", 2): self = .get(line: try Self.line(words[1]))
    case ("get", _): throw Mistake(text: "write: get LINE")
    case ("inputs", 1): self = .inputs
    case ("outputs", 1): self = .outputs
    default:
      throw Mistake(text: "unknown command; write set LINE 0|1, get LINE, inputs or outputs")
    }
  }

  private static func line(_ word: Substring) throws(Mistake) -> Int {
    guard let line = Int(word), (0..<lineCount).contains(line) else {
      throw Mistake(text: "a line is a number from 0 to \(lineCount - 1)")
    }
    return line
  }

  private static func level(_ word: Substring) throws(Mistake) -> Bool {
    switch word {
    case "0": return false
    case "1": return true
    default: throw Mistake(text: "a level is 0 or 1")
    }
  }
}
