/// An ioeventfd's device end: tells a handler that the driver has written.
///
/// The counter is never read. The client shares it and could make a read block; edge-triggered, the
/// loop hears of each signal without one.
///
/// Threads: confined to its loop.
final class EventWatch {
  private let event: EventDescriptorBox
  private let loop: EventLoop
  private let handler: any RegionHandler
  private let offset: RegionOffset
  private let byteCount: Int
  private let value: UInt64?
  private var token: WatchToken?
  private var pauseCount = 0
  /// Whether it was signalled while it paused.
  private var isPending = false

  /// - Parameter offset: relative to the handler's range.
  init(
    _ event: EventDescriptorBox, on loop: EventLoop, _ handler: any RegionHandler,
    at offset: RegionOffset, byteCount: Int, value: UInt64?
  ) {
    self.event = event
    self.loop = loop
    self.handler = handler
    self.offset = offset
    self.byteCount = byteCount
    self.value = value
  }

  /// Begins to listen.
  func open() throws(Errno) {
    // The watch is its owner until `close`.
    token = try loop.watch(event.event.rawValue, .readableOnce) { [self] _ in signalled() }
  }

  private func signalled() {
    loop.noteActivity()
    if pauseCount > 0 {
      isPending = true
    } else {
      handler.notified(at: offset, byteCount: byteCount, value: value)
    }
  }

  /// Holds signals back until `resume`.
  func pause() { pauseCount += 1 }

  func resume() {
    pauseCount -= 1
    guard pauseCount == 0, isPending else { return }
    isPending = false
    // Not within the fence that ends here.
    let confined = LoopConfined(self)
    loop.post { confined.value.catchUp() }
  }

  private func catchUp() {
    guard token != nil else { return }
    signalled()
  }

  func close() {
    if let token { loop.unwatch(token) }
    token = nil
  }
}
