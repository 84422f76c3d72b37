/// Names a descriptor's watch on a loop.
public struct WatchToken: Hashable, Sendable {
  let index: Int
  let generation: UInt32

  init(index: Int, generation: UInt32) {
    self.index = index
    self.generation = generation
  }

  /// The form in which the kernel carries it.
  var tag: UInt64 { UInt64(generation) << 32 | UInt64(UInt32(truncatingIfNeeded: index)) }

  init(tag: UInt64) {
    index = Int(tag & 0xffff_ffff)
    generation = UInt32(tag >> 32)
  }
}

/// Names a timer of a loop.
public struct TimerToken: Hashable, Sendable {
  let number: UInt64
}

/// Names a poller of a loop.
public struct PollerToken: Hashable, Sendable {
  let number: Int
}
