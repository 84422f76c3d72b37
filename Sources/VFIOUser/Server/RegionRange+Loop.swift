extension Region {
  /// The range of another loop that holds the whole access, or nil.
  func foreignRange(_ access: RegionAccess, home: EventLoop) -> RegionRange? {
    guard let range = range(containing: access.offset.rawValue), range.belongsElsewhere(than: home),
      UInt64(access.count) <= range.byteCount - (access.offset.rawValue - range.offset.rawValue)
    else { return nil }
    return range
  }

  /// Whether a range of another loop holds any byte of the access.
  func touchesForeignRange(_ access: RegionAccess, home: EventLoop) -> Bool {
    let end = access.offset.rawValue + UInt64(access.count)
    return ranges.contains { range in
      guard range.belongsElsewhere(than: home) else { return false }
      return range.offset.rawValue < end
        && access.offset.rawValue < range.offset.rawValue + range.byteCount
    }
  }
}

extension RegionRange {
  /// Whether the handler runs on a loop that is neither the device's nor this thread's.
  ///
  /// A loop that nobody runs yet counts: its thread is about to, and finds the access waiting.
  func belongsElsewhere(than home: EventLoop) -> Bool {
    guard let loop, loop !== home else { return false }
    return !loop.isRunningHere
  }

  /// Runs the handler on the range's own loop and completes `reply` with what it says.
  ///
  /// - Parameter data: what a write moves; nil for a read.
  func perform(_ access: RegionAccess, _ data: [UInt8]?, _ reply: DeferredReply) {
    let place = RegionOffset(access.offset.rawValue - offset.rawValue)
    let confined = LoopConfined(handler)
    let count = Int(access.count)
    loop?.post {
      let deferral = ForwardedDeferral(reply)
      let context = AccessContext(deferral: deferral, isPosted: false)
      do throws(Errno) {
        if let data {
          try confined.value.write(at: place, from: data.rawSpan, context)
          if !deferral.isTaken { reply.complete() }
        } else {
          var bytes = [UInt8](repeating: 0, count: count)
          try bytes.withMutableRawSpan { (span) throws(Errno) in
            try confined.value.read(at: place, into: &span, context)
          }
          if !deferral.isTaken { reply.complete(with: bytes) }
        }
      } catch {
        reply.fail(error)
      }
    }
  }
}

/// Lets a handler on another loop defer the reply that is already deferred.
private final class ForwardedDeferral: AccessDeferral {
  private let reply: DeferredReply
  var isTaken = false

  init(_ reply: DeferredReply) { self.reply = reply }

  func deferReply(survivesReset: Bool) -> DeferredReply? {
    isTaken = true
    return reply
  }
}
