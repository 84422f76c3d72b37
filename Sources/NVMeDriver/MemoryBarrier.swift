import CVFIOUserLinux
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// What a driver that polls needs of the processor.
enum MemoryBarrier {
  /// Stores before it are visible before loads after it are made.
  static func full() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

  /// Tells the processor that this thread is waiting.
  static func pause() { cvfu_pause() }

  /// Lets another thread run.
  static func yield() { _ = sched_yield() }
}
