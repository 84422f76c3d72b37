import Synchronization

// Numbers in shared memory. What lies aligned is loaded and stored at once, so that the other side sees
// all of it or nothing; pairs with its atomics of the other direction.
extension MemoryMapping {
  /// Reads 1, 2, 4 or 8 aligned bytes by one load, any other 1 to 8 byte by byte; little-endian.
  ///
  /// The caller has checked that they lie in the mapping.
  func readWord(at position: Int, byteCount: Int) -> UInt64 {
    // Safety: the caller checked the position, and the mapping lives as long as self. The atomics are
    // aligned by the switch, and pair with the other side's release stores.
    let base = unsafe start + position
    let isAligned = Int(bitPattern: base) & (byteCount - 1) == 0
    switch (byteCount, isAligned) {
    case (8, true):
      return unsafe base.assumingMemoryBound(to: Atomic<UInt64>.self).pointee
        .load(ordering: .acquiring)
    case (4, true):
      return UInt64(
        unsafe base.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .acquiring))
    case (2, true):
      return UInt64(
        unsafe base.assumingMemoryBound(to: Atomic<UInt16>.self).pointee.load(ordering: .acquiring))
    default:
      var word: UInt64 = 0
      for index in 0..<byteCount {
        let byte = unsafe (base + index).assumingMemoryBound(to: Atomic<UInt8>.self).pointee
          .load(ordering: .acquiring)
        word |= UInt64(byte) << UInt64(8 * index)
      }
      return word
    }
  }

  /// Writes 1, 2, 4 or 8 aligned bytes by one store, any other 1 to 8 byte by byte; little-endian.
  ///
  /// The caller has checked that they lie in the mapping, and that it is writable.
  func writeWord(_ word: UInt64, at position: Int, byteCount: Int) {
    // Safety: as for `readWord`; the stores pair with the other side's acquire loads.
    let base = unsafe start + position
    let isAligned = Int(bitPattern: base) & (byteCount - 1) == 0
    switch (byteCount, isAligned) {
    case (8, true):
      unsafe base.assumingMemoryBound(to: Atomic<UInt64>.self).pointee
        .store(word, ordering: .releasing)
    case (4, true):
      unsafe base.assumingMemoryBound(to: Atomic<UInt32>.self).pointee
        .store(UInt32(truncatingIfNeeded: word), ordering: .releasing)
    case (2, true):
      unsafe base.assumingMemoryBound(to: Atomic<UInt16>.self).pointee
        .store(UInt16(truncatingIfNeeded: word), ordering: .releasing)
    default:
      for index in 0..<byteCount {
        unsafe (base + index).assumingMemoryBound(to: Atomic<UInt8>.self).pointee
          .store(UInt8(truncatingIfNeeded: word >> UInt64(8 * index)), ordering: .releasing)
      }
    }
  }
}
