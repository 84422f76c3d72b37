import VFIOUser

/// A device on a bus without configuration space: register ranges and interrupt lines, no more.
///
/// Confined to the loop of its server.
public protocol PlatformDevice: AnyObject {
  /// The register ranges, by region index. They do not change.
  var platformRegions: [PlatformRegion] { get }
  /// The interrupt lines, by interrupt index. They do not change.
  var interruptLines: [InterruptLine] { get }

  /// Hands the device what it works with, before anything else; by default ignored.
  func start(_ services: DeviceServices)
  /// Puts the device back into its initial state.
  func reset(_ kind: ResetKind)
  /// Stops everything that a guest could notice; by default there is nothing.
  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence
  /// The device may work again after ``quiesce(_:_:)``; by default ignored.
  func resume()
}

extension PlatformDevice {
  /// Ignores the services.
  public func start(_ services: DeviceServices) {}
  /// Says that nothing is in flight.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    .done
  }
  /// Does nothing.
  public func resume() {}
}
