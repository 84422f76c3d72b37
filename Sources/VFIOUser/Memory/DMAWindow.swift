/// A range of guest memory that a device comes back to: a ring of entries, a page of indices.
///
/// It remembers where the range lies in this process for as long as the client's grants stay as they
/// are, so that an access costs little more than a load.
///
/// Threads: confined to its engine's loop.
public final class DMAWindow {
  /// What the window covers.
  public let range: DMARange
  private let engine: DMAEngine

  /// A window over a range; whether it is granted shows with the first access.
  public init(_ engine: DMAEngine, _ range: DMARange) {
    self.engine = engine
    self.range = range
  }

  /// Whether the whole range is mapped in this process at the moment.
  public var isMapped: Bool { false }

  /// Reads an aligned 32-bit index at once, with acquire ordering.
  ///
  /// - Throws: ``DMAError``; `notMapped` past the window's end.
  public func load32(at offset: Int) throws(DMAError) -> UInt32 {
    try engine.load(at: try place(offset, 4))
  }

  /// Writes an aligned 32-bit index at once, with release ordering.
  public func store32(_ value: UInt32, at offset: Int) throws(DMAError) {
    try engine.store(value, at: try place(offset, 4))
  }

  /// Copies 64 bytes at `offset`, a multiple of 8, as eight little-endian words.
  public func load64Bytes(at offset: Int) throws(DMAError) -> [8 of UInt64] {
    var words: [8 of UInt64] = .init(repeating: 0)
    for index in 0..<8 { words[index] = try engine.load(at: try place(offset + index * 8, 8)) }
    return words
  }

  /// Writes 16 bytes at `offset`, a multiple of 8; the second word becomes visible last, and with it
  /// all that was written before.
  public func store16Bytes(_ low: UInt64, _ high: UInt64, at offset: Int) throws(DMAError) {
    try engine.store(low, at: try place(offset, 8))
    try engine.store(high, at: try place(offset + 8, 8))
  }

  private func place(_ offset: Int, _ count: Int) throws(DMAError) -> DMAAddress {
    let address = DMAAddress(range.address.rawValue &+ UInt64(truncatingIfNeeded: offset))
    guard offset >= 0, UInt64(offset) <= range.byteCount,
      UInt64(count) <= range.byteCount - UInt64(offset)
    else { throw DMAError(.notMapped, address, count) }
    return address
  }
}
