/// A region of a `ReconnectingClient`, and the object through which it is reached now.
final class RegionSlot: Sendable {
  let info: RegionInfo
  /// Taken without the client's lock, and set with it.
  private let state = Guarded(State())

  private struct State {
    var region: ClientRegion?
    var unmapped: ClientRegion?
    var changeCount: UInt64 = 0
  }

  init(info: RegionInfo) {
    self.info = info
  }

  /// Nil while the server is away, and until the first access after that.
  func current(isMapped: Bool) -> ClientRegion? {
    state.withLock { isMapped ? $0.region : $0.unmapped }
  }

  /// How often what was known was given up.
  var changeCount: UInt64 { state.withLock { $0.changeCount } }

  /// The next access asks for the region again.
  func forget() {
    state.withLock {
      $0.region = nil
      $0.unmapped = nil
      $0.changeCount += 1
    }
  }

  /// Keeps what the server was asked for when there had been `count` changes, unless another one came.
  func keep(_ region: ClientRegion, since count: UInt64) {
    let unmapped = region.withoutMappings
    state.withLock { state in
      guard state.changeCount == count else { return }
      state.region = region
      state.unmapped = unmapped
    }
  }
}
