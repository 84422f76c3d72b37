import VFIOUser

/// One region of a device that can be placed in an address space: a BAR.
///
/// Threads: any.
public final class RegionWindow: Sendable {
  /// A range of the region, as offsets in bytes, that the monitor answers itself.
  public struct Intercept: Sendable {
    /// Which bytes of the region.
    public var range: Range<UInt64>
    /// Who answers; its offsets count from the start of the range.
    public var handler: any GuestAccessHandler

    /// Makes an intercept.
    public init(_ range: Range<UInt64>, _ handler: any GuestAccessHandler) {
      self.range = range
      self.handler = handler
    }
  }

  /// Where messages go.
  public let region: any DeviceRegion

  /// Makes a window that is placed nowhere yet.
  ///
  /// - Parameters:
  ///   - region: the region, for messages.
  ///   - plan: how its parts are reached.
  ///   - intercepts: what the monitor answers itself (the MSI-X table); such a range is taken out of
  ///     the plan, and what lies outside of the region is ignored.
  public init(region: any DeviceRegion, plan: RegionPlan, intercepts: [Intercept] = []) {
    self.region = region
  }

  /// The length in bytes.
  public var byteCount: UInt64 { region.info.byteCount }
}
