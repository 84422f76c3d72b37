/// Raises one edge-triggered vector from any loop.
///
/// Where the vector is unmasked, assigned and let through by the bus, the client is told at once;
/// else the raise is handed to the device's loop, which remembers it as pending or drops it.
///
/// Threads: any.
public final class InterruptTrigger: Sendable {
  private let home: EventLoop
  private let route: LoopConfined<() -> Void>

  /// A trigger whose raises go to `route`, on the device's loop.
  public init(home: EventLoop, otherwise route: @escaping () -> Void) {
    self.home = home
    self.route = LoopConfined(route)
  }

  /// Raises the vector. What the calling loop wrote to guest memory before is visible to whoever is
  /// told.
  public func raise() {
    if home.isRunningHere { return route.value() }
    home.post { [route] in route.value() }
  }
}
