/// Has a `ReconnectingClient` forget a region that changed, before its user hears of it.
final class RegionChangeRelay: Sendable {
  /// Set once there is a client.
  let owner = Guarded<WeakClient?>(nil)
  private let user: (@Sendable (Int) -> Void)?

  init(_ user: (@Sendable (Int) -> Void)?) {
    self.user = user
  }

  /// The options with the relay in place; the extension stays unoffered where nobody asked for it.
  func relaying(_ options: ClientOptions) -> ClientOptions {
    guard let user else { return options }
    var options = options
    options.onRegionChanged = { [self] index in
      owner.withLock { $0?.client }?.regionChanged(index)
      user(index)
    }
    return options
  }
}

/// A client that is not kept alive.
struct WeakClient: Sendable {
  weak let client: ReconnectingClient?

  init(_ client: ReconnectingClient) {
    self.client = client
  }
}
