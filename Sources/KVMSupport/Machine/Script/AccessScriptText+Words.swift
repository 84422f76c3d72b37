extension AccessScriptText {
  /// The words of a line, one after the other.
  struct Words {
    private var words: [String] = []
    private var position = 0

    /// Takes a line apart; a text in quotes is one word, which keeps its first quote.
    init(_ line: Substring) throws(Mistake) {
      var rest = line
      while let start = rest.firstIndex(where: { !$0.isWhitespace }) {
        rest = rest[start...]
        if rest.first == "#" { return }
        if rest.first == "\"" {
          words.append(try Self.quoted(&rest))
        } else {
          let end = rest.firstIndex { $0.isWhitespace || $0 == "#" } ?? rest.endIndex
          words.append(String(rest[..<end]))
          rest = rest[end...]
        }
      }
    }

    private static func quoted(_ rest: inout Substring) throws(Mistake) -> String {
      var text = "\""
      rest.removeFirst()
      while let character = rest.popFirst() {
        switch character {
        case "\"": return text
        case "\\":
          switch rest.popFirst() {
          case "n": text.append("\n")
          case "t": text.append("\t")
          case "\\": text.append("\\")
          case "\"": text.append("\"")
          default: throw Mistake("a backslash stands before n, t, a quote or another one")
          }
        default: text.append(character)
        }
      }
      throw Mistake("a text ends with a quote")
    }

    var isAtEnd: Bool { position == words.count }

    /// The next word; nil at the end.
    mutating func next() -> String? {
      guard position < words.count else { return nil }
      position += 1
      return words[position - 1]
    }

    /// Goes past a word if it is the next.
    mutating func skip(_ word: String) -> Bool {
      guard position < words.count, words[position] == word else { return false }
      position += 1
      return true
    }

    /// The name of a result, if that is next.
    mutating func result() -> String? {
      guard position < words.count, words[position].hasPrefix("$") else { return nil }
      position += 1
      return String(words[position - 1].dropFirst())
    }

    /// A text in quotes.
    mutating func text() throws(Mistake) -> String {
      guard let word = next(), word.first == "\"" else { throw Mistake("a text stands in quotes") }
      return String(word.dropFirst())
    }

    /// A number from 0 to `limit`.
    mutating func number(upTo limit: Int) throws(Mistake) -> Int {
      let value = try any()
      guard value <= UInt64(limit) else {
        throw Mistake("\(words[position - 1]) is more than \(limit)")
      }
      return Int(value)
    }

    /// A number of so many bytes.
    mutating func value(_ byteCount: Int) throws(Mistake) -> UInt64 {
      let value = try any()
      guard value == value.truncated(toByteCount: byteCount) else {
        throw Mistake("\(words[position - 1]) has more than \(byteCount * 8) bits")
      }
      return value
    }

    private mutating func any() throws(Mistake) -> UInt64 {
      guard let word = next() else { throw Mistake("a number is missing") }
      let value = word.hasPrefix("0x") ? UInt64(word.dropFirst(2), radix: 16) : UInt64(word)
      guard let value else { throw Mistake("\"\(word)\" is no number") }
      return value
    }
  }
}
