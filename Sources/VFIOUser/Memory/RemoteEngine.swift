import Synchronization

/// An engine of another loop, as the device's loop sees it.
///
/// Threads: confined to the device's loop.
final class RemoteEngine {
  /// The engine's own loop.
  let loop: EventLoop
  private let engine: LoopConfined<DMAEngine>
  private let notice = Notice()

  /// Whether the loop has been told of a change that it has not heard of yet.
  private final class Notice: Sendable {
    let isPending = Atomic<Bool>(false)
  }

  init(_ engine: DMAEngine) {
    loop = engine.loop
    self.engine = LoopConfined(engine)
  }

  /// Tells the engine that the grants have changed. However many changes the loop has not heard of, one
  /// notice waits for it.
  func tell() {
    // With the exchange below: either this finds no notice and posts one, or the loop, which takes it
    // back before it looks, sees the change that was made before.
    guard !notice.isPending.exchange(true, ordering: .acquiringAndReleasing) else { return }
    let (engine, notice) = (engine, notice)
    loop.post {
      _ = notice.isPending.exchange(false, ordering: .acquiringAndReleasing)
      engine.value.invalidate()
    }
  }

  /// Has the engine let go of its snapshot, in the order of what is posted.
  func invalidate() {
    let engine = engine
    loop.post { engine.value.invalidate() }
  }
}
