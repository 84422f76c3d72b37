import VFIOUser

/// Something that the monitor should know of: a device's server does not do its part any more.
///
/// The guest goes on: reads of what is lost give all-ones, writes are dropped.
public struct AddressSpaceEvent: Sendable {
  /// What happened.
  public enum Kind: Sendable, Equatable {
    /// A port was closed; its ranges are reached by messages from now on.
    case portFailed(IORegionFailure)
    /// The region's messages fail, and later ones may. Told once for each kind of failure, and again when
    /// the device has answered a message in between.
    case regionFailed(ClientError)
  }

  /// What happened.
  public var kind: Kind
  /// Whose window it is; nil for a port that no window's plan brought along.
  public var window: RegionWindow?

  /// Makes an event.
  public init(_ kind: Kind, window: RegionWindow?) {
    self.kind = kind
    self.window = window
  }
}
