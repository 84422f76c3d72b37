import BlockStorage

/// One loop's way to a namespace: the channel to its storage, and what went over it.
///
/// Threads: confined to its loop.
final class NamespaceLane {
  let namespace: NVMeNamespace
  let channel: any BlockChannel
  private var tally = NamespaceTally()

  init(_ namespace: NVMeNamespace, _ channel: any BlockChannel) {
    self.namespace = namespace
    self.channel = channel
  }

  /// Counts a command that reads.
  @inline(__always)
  func noteRead(_ byteCount: Int) {
    tally.reads &+= 1
    tally.readBytes &+= UInt64(byteCount)
  }

  /// Counts a command that writes.
  @inline(__always)
  func noteWrite(_ byteCount: Int) {
    tally.writes &+= 1
    tally.writtenBytes &+= UInt64(byteCount)
  }

  /// Adds what was counted here to the namespace's counters.
  func publishTally() {
    namespace.counters.add(tally)
    tally = NamespaceTally()
  }
}
