/// The byte order in which a bus carries the bytes of an access.
///
/// Device cores hold values, not bytes, and never see it: it is the bus's business.
public enum Endianness: Sendable, Hashable {
  /// The least significant byte first, as on PCI.
  case little
  /// The most significant byte first.
  case big
}
