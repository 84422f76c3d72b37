import Synchronization

// Atomic accesses to aligned 64-bit words in the host's byte order, for protocols in shared memory: one
// function for each ordering, so that each use names its own.
//
// The offset is the program's own constant, never a peer's number: one that is outside the memory or
// unaligned traps. Whether the peer shrank the file is not looked at: seal it, or ask `isLost`.
extension SharedMemory {
  /// Loads a word; orders nothing.
  @inline(__always)
  package func loadRelaxed(at offset: Int) -> UInt64 {
    // Safety: `word` has checked the place; the mapping lives as long as self.
    unsafe word(at: offset).pointee.load(ordering: .relaxed)
  }

  /// Loads a word; what its writer did before storing it with release ordering is seen afterwards.
  @inline(__always)
  package func loadAcquiring(at offset: Int) -> UInt64 {
    // Safety: as for `loadRelaxed`.
    unsafe word(at: offset).pointee.load(ordering: .acquiring)
  }

  /// Loads a word in the one order of all sequentially consistent accesses; acquires, too.
  @inline(__always)
  package func loadInOrder(at offset: Int) -> UInt64 {
    // Safety: as for `loadRelaxed`.
    unsafe word(at: offset).pointee.load(ordering: .sequentiallyConsistent)
  }

  /// Stores a word; orders nothing.
  @inline(__always)
  package func storeRelaxed(_ value: UInt64, at offset: Int) {
    // Safety: as for `loadRelaxed`; for memory that was mapped to be written.
    unsafe word(at: offset).pointee.store(value, ordering: .relaxed)
  }

  /// Stores a word; whoever loads it with acquire ordering sees what was done before.
  @inline(__always)
  package func storeReleasing(_ value: UInt64, at offset: Int) {
    // Safety: as for `storeRelaxed`.
    unsafe word(at: offset).pointee.store(value, ordering: .releasing)
  }

  /// Stores a word in the one order of all sequentially consistent accesses; releases, too.
  @inline(__always)
  package func storeInOrder(_ value: UInt64, at offset: Int) {
    // Safety: as for `storeRelaxed`.
    unsafe word(at: offset).pointee.store(value, ordering: .sequentiallyConsistent)
  }

  @inline(__always)
  private func word(at offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    precondition(offset >= 0 && offset & 7 == 0 && offset <= mapping.byteCount - 8)
    // Safety: inside the mapping, which starts at a page, and aligned. An Atomic of a word is that word.
    return unsafe (mapping.start + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
