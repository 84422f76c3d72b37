import Synchronization

/// A region of a `ReconnectingClient`, and the object through which it is reached now.
final class RegionSlot: Sendable {
  let info: RegionInfo
  /// Nil while the server is away, and until the first access after that. Taken without the client's
  /// lock, and set with it.
  let current = Mutex<ClientRegion?>(nil)

  init(info: RegionInfo) {
    self.info = info
  }
}
