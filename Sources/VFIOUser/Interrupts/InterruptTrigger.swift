/// Raises one edge-triggered vector from any loop.
///
/// Where the vector is unmasked, assigned and let through by the bus, the client is told at once;
/// else the raise is handed to the device's loop, which remembers it as pending or drops it.
///
/// Threads: any.
public final class InterruptTrigger: Sendable {
  private let home: EventLoop
  private let direct: DirectDelivery?
  private let route: LoopConfined<() -> Void>

  /// A trigger whose raises all go to `route`, on the device's loop.
  public convenience init(home: EventLoop, otherwise route: @escaping () -> Void) {
    self.init(home: home, direct: nil, otherwise: route)
  }

  init(home: EventLoop, direct: DirectDelivery?, otherwise route: @escaping () -> Void) {
    self.home = home
    self.direct = direct
    self.route = LoopConfined(route)
  }

  /// Raises the vector. What the calling loop wrote to guest memory before is visible to whoever is
  /// told.
  public func raise() {
    if let direct, direct.deliver() { return }
    if home.isRunningHere { return route.value() }
    home.post { [route] in route.value() }
  }
}
