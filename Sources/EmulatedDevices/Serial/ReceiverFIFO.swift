/// The received characters that the driver has not read yet, each with its errors.
struct ReceiverFIFO {
  /// The depth while FIFOs are enabled.
  static let depth = 16

  private struct Entry {
    var character: UInt8
    var errors: LineStatus
  }

  private var entries = [16 of Entry](repeating: Entry(character: 0, errors: []))
  private var first = 0
  /// How many characters wait.
  private(set) var count = 0
  /// How many can wait: 16, or 1 without FIFOs.
  private(set) var capacity = 1

  var isEmpty: Bool { count == 0 }
  var space: Int { capacity - count }

  /// The errors of the oldest character.
  var oldestErrors: LineStatus { isEmpty ? [] : entries[first].errors }

  /// Whether any character has errors.
  var hasErrors: Bool {
    (0..<count).contains { !entries[(first + $0) % Self.depth].errors.isEmpty }
  }

  /// Adds a character. Returns false, and forgets it, where there is no room.
  mutating func append(_ character: UInt8, _ errors: LineStatus = []) -> Bool {
    guard space > 0 else { return false }
    entries[(first + count) % Self.depth] = Entry(character: character, errors: errors)
    count += 1
    return true
  }

  /// Takes the oldest character out.
  mutating func removeFirst() -> UInt8? {
    guard !isEmpty else { return nil }
    let character = entries[first].character
    first = (first + 1) % Self.depth
    count -= 1
    return character
  }

  /// The driver has seen the oldest character's errors.
  mutating func clearOldestErrors() {
    if !isEmpty { entries[first].errors = [] }
  }

  /// Empties it, and sets how many characters can wait.
  mutating func clear(capacity: Int) {
    first = 0
    count = 0
    self.capacity = capacity
  }
}
