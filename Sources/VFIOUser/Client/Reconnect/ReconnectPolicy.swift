/// What a client does when it loses its server.
///
/// ```swift
/// var policy = ReconnectPolicy.reconnect(within: .seconds(30))
/// policy.repeatableReads = [RepeatableReads(region: 0, offset: RegionOffset(0), byteCount: 4096)]
/// ```
public struct ReconnectPolicy: Sendable {
  /// How long after a loss the server may come back; nil gives up at once.
  ///
  /// An attempt that has begun by then is finished first, and it is bounded by
  /// `ClientOptions.timeout` for each of its messages.
  public var maximumWait: Duration?
  /// How long after the first attempt that failed the second one follows. The first is made at once,
  /// unless the connection was lost right after it had been restored.
  public var firstDelay: Duration = .milliseconds(10)
  /// The longest time between two attempts; each is twice the one before.
  public var longestDelay: Duration = .seconds(1)
  /// Whether each interrupt that is armed is signalled once when the connection is restored.
  ///
  /// An interrupt that the device raised during the gap is lost, and a driver that waits for it would
  /// wait forever; one that is signalled without a cause looks at the device and finds nothing. One that
  /// is masked is signalled when it is unmasked.
  public var signalsInterrupts = true
  /// Reads that have no side effect, so that one that was in flight is repeated. Those of a PCI
  /// device's configuration space need not be named.
  public var repeatableReads: [RepeatableReads] = []
  /// Whether the server's commands are answered while no call is in flight, on the client's own
  /// thread. Under a load of calls that thread looks a thousand times a second at most.
  public var servesInBackground = false
  /// Whether a call waits while the server is away. Else it fails at once with `away`, and its caller
  /// waits in a way of its own, such as with `ReconnectingClient.waitWhileAway(atMost:)`.
  public var callsWait = true
  /// Whether a server that does not reply in time is given up as one that died, so that nobody waits for
  /// it a second time.
  public var endsSilentConnections = false

  /// Gives up as soon as the server is lost: every call fails from then on.
  public static let fail = ReconnectPolicy(maximumWait: nil)

  /// Waits for the server and goes on.
  ///
  /// - Parameter maximumWait: how long, counted from the loss.
  public static func reconnect(within maximumWait: Duration = .seconds(30)) -> ReconnectPolicy {
    ReconnectPolicy(maximumWait: maximumWait)
  }

  private init(maximumWait: Duration?) {
    self.maximumWait = maximumWait
  }
}
