import VFIOUser

/// Leads what a connection has to tell to its device, which is made after the connection.
///
/// Threads: any. It does not keep the device alive.
final class DeviceLink: Sendable {
  private struct Target: Sendable {
    weak var device: AttachedDevice?
  }

  private let target = Guarded(Target())

  /// What the servers have said about regions.
  let changes = RegionChanges()

  /// The device, if it is there.
  var device: AttachedDevice? { target.withLock { $0.device } }

  /// From now on the device hears of everything.
  func serve(_ device: AttachedDevice) {
    target.withLock { $0.device = device }
    changes.serve(device)
  }

  /// A server comes; before there is a device, none is of use.
  func restore(_ session: DeviceClient) throws(ClientError) {
    guard let device else { throw .away }
    try device.resume(session)
  }
}
