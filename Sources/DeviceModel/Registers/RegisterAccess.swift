/// What reads and writes do to the bits of a register or of one of its fields.
///
/// A register has one access kind; a field may declare another for its own bits, so that one
/// register can mix, say, read-only and write-one-to-clear bits.
public enum RegisterAccess: String, Sendable, Hashable, CaseIterable {
  /// Reads give the value; writes are ignored (RO).
  case readOnly
  /// Reads give the value; writes replace it (RW).
  case readWrite
  /// Reads give the value; writing a 1 clears the bit, writing a 0 leaves it (RW1C).
  case writeOneToClear
  /// Reads give the value; writing a 1 sets the bit, writing a 0 leaves it (RW1S).
  case writeOneToSet
  /// A read gives the value and clears the bits that it read; writes are ignored (RC).
  case readToClear
  /// Writes replace the value, which only the device sees; reads give 0 (WO).
  case writeOnly

  /// The short form that hardware manuals use, such as `RO` or `RW1C`.
  public var abbreviation: String {
    switch self {
    case .readOnly: "RO"
    case .readWrite: "RW"
    case .writeOneToClear: "RW1C"
    case .writeOneToSet: "RW1S"
    case .readToClear: "RC"
    case .writeOnly: "WO"
    }
  }
}
