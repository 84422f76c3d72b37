import CVFIOUserLinux
import Synchronization

/// A range of guest memory that a device comes back to: a ring of entries, a page of indices.
///
/// It remembers where the range lies in this process for as long as the client's grants stay as they
/// are, so that an access costs little more than a load.
///
/// Threads: confined to its engine's loop.
@safe
public final class DMAWindow {
  /// What the window covers.
  public let range: DMARange
  private let engine: DMAEngine
  /// The engine's generation that the rest was found out for.
  private var generation: UInt64 = 0
  /// Where the window lies in this process, while one of the limits is above 0.
  private var start: UnsafeMutableRawPointer
  /// How many bytes can be read directly: all of them or none.
  private var readableByteCount = 0
  /// How many bytes can be written directly: all of them or none.
  private var writableByteCount = 0
  private var grant = 0

  /// A window over a range; whether it is granted shows with the first access.
  public init(_ engine: DMAEngine, _ range: DMARange) {
    self.engine = engine
    self.range = range
    // Safety: never used before `locate` has set it.
    unsafe start = UnsafeMutableRawPointer(bitPattern: 8).unsafelyUnwrapped
  }

  /// Whether the whole range is mapped in this process at the moment, with any rights.
  public var isMapped: Bool {
    if generation != engine.generation { locate() }
    return readableByteCount | writableByteCount != 0
  }

  /// Reads an aligned 32-bit index at once, with acquire ordering.
  ///
  /// - Throws: ``DMAError``; `notMapped` past the window's end.
  public func load32(at offset: Int) throws(DMAError) -> UInt32 {
    guard let place = unsafe readable(offset, 4, alignment: 4) else {
      return try engine.load(at: try place(offset, 4))
    }
    // Safety: checked and aligned. Pairs with the guest's release store of an index.
    let value = unsafe place.assumingMemoryBound(to: Atomic<UInt32>.self)
      .pointee.load(ordering: .acquiring)
    if !engine.isIntact { try checkLoss(offset, 4) }
    return UInt32(littleEndian: value)
  }

  /// Writes an aligned 32-bit index at once, with release ordering.
  ///
  /// - Throws: ``DMAError``; `notMapped` past the window's end.
  public func store32(_ value: UInt32, at offset: Int) throws(DMAError) {
    guard let place = unsafe writable(offset, 4, alignment: 4) else {
      return try engine.store(value, at: try place(offset, 4))
    }
    // Safety: checked and aligned. Pairs with the guest's acquire load of the index.
    unsafe place.assumingMemoryBound(to: Atomic<UInt32>.self)
      .pointee.store(value.littleEndian, ordering: .releasing)
    if !engine.isIntact { try checkLoss(offset, 4) }
  }

  /// Copies 64 bytes at `offset`, a multiple of 8, as eight little-endian words.
  ///
  /// Each word is read once; a guest that writes meanwhile may tear the words from each other.
  /// - Throws: ``DMAError``; `notMapped` past the window's end.
  public func load64Bytes(at offset: Int) throws(DMAError) -> [8 of UInt64] {
    guard let place = unsafe readable(offset, 64, alignment: 8) else {
      return try loadSlowly(offset)
    }
    // Safety: checked and aligned. Relaxed: whoever announced the entry was read with acquire before.
    let words = unsafe place.assumingMemoryBound(to: Atomic<UInt64>.self)
    let result: [8 of UInt64] = unsafe [
      words[0].load(ordering: .relaxed), words[1].load(ordering: .relaxed),
      words[2].load(ordering: .relaxed), words[3].load(ordering: .relaxed),
      words[4].load(ordering: .relaxed), words[5].load(ordering: .relaxed),
      words[6].load(ordering: .relaxed), words[7].load(ordering: .relaxed),
    ]
    if !engine.isIntact { try checkLoss(offset, 64) }
    return result
  }

  /// Writes 16 bytes at `offset`, a multiple of 8; the second word becomes visible last, and with it
  /// all that was written before.
  ///
  /// - Throws: ``DMAError``; `notMapped` past the window's end.
  public func store16Bytes(_ low: UInt64, _ high: UInt64, at offset: Int) throws(DMAError) {
    guard let place = unsafe writable(offset, 16, alignment: 8) else {
      // Two writes: one alone would not say which word arrives last.
      try engine.store(low, at: try place(offset, 16))
      return try engine.store(high, at: try place(offset + 8, 8))
    }
    // Safety: checked and aligned. The release pairs with the guest's acquire load of the last word.
    let words = unsafe place.assumingMemoryBound(to: Atomic<UInt64>.self)
    unsafe words[0].store(low.littleEndian, ordering: .relaxed)
    unsafe words[1].store(high.littleEndian, ordering: .releasing)
    if !engine.isIntact { try checkLoss(offset, 16) }
  }

  // MARK: Where the bytes are

  /// Where to read; nil where the engine has to do it, or to refuse it.
  @inline(__always)
  private func readable(
    _ offset: Int, _ count: Int, alignment: Int
  ) -> UnsafeMutableRawPointer? {
    if generation != engine.generation { locate() }
    guard offset >= 0, readableByteCount &- count >= offset, offset & (alignment &- 1) == 0,
      engine.gate.isOpen
    else { return nil }
    // Safety: within the window, which is mapped as a whole while the generation is the engine's.
    return unsafe start + offset
  }

  /// Where to write; see `readable`.
  @inline(__always)
  private func writable(
    _ offset: Int, _ count: Int, alignment: Int
  ) -> UnsafeMutableRawPointer? {
    if generation != engine.generation { locate() }
    guard offset >= 0, writableByteCount &- count >= offset, offset & (alignment &- 1) == 0,
      engine.gate.isOpen
    else { return nil }
    // Safety: as for `readable`.
    return unsafe start + offset
  }

  /// Finds out where the window lies now.
  @inline(never)
  private func locate() {
    engine.refresh()
    generation = engine.generation
    readableByteCount = 0
    writableByteCount = 0
    guard let byteCount = Int(exactly: range.byteCount) else { return }
    let address = range.address.rawValue
    for right in [DMARights.read, .write] {
      guard let place = unsafe engine.resolve(address, byteCount, right),
        Int(bitPattern: place) & 7 == 0
      else { continue }
      unsafe start = unsafe place
      grant = engine.recent
      if right == .read { readableByteCount = byteCount } else { writableByteCount = byteCount }
    }
  }

  @inline(never)
  private func checkLoss(_ offset: Int, _ count: Int) throws(DMAError) {
    if engine.hasLost(grant) { throw DMAError(.lost, try place(offset, count), count) }
  }

  /// For memory that is not mapped: one access for all of it.
  @inline(never)
  private func loadSlowly(_ offset: Int) throws(DMAError) -> [8 of UInt64] {
    var words: [8 of UInt64] = .init(repeating: 0)
    var span = words.mutableSpan
    // Safety: any bytes make integers.
    var bytes = unsafe span.mutableBytes
    try engine.read(at: try place(offset, 64), into: &bytes)
    for index in 0..<8 { words[index] = UInt64(littleEndian: words[index]) }
    return words
  }

  private func place(_ offset: Int, _ count: Int) throws(DMAError) -> DMAAddress {
    let address = DMAAddress(range.address.rawValue &+ UInt64(truncatingIfNeeded: offset))
    guard offset >= 0, UInt64(offset) <= range.byteCount,
      UInt64(count) <= range.byteCount - UInt64(offset)
    else { throw DMAError(.notMapped, address, count) }
    return address
  }
}
