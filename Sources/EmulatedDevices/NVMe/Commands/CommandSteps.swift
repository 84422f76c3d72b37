import DeviceModel

/// A command that takes several requests to its storage.
///
/// Threads: confined to the loop of its group.
protocol CommandSteps: AnyObject {
  /// Does as much as can be done now. Called to begin with, and after each request that was pending.
  ///
  /// - Parameter error: why the request that was pending has failed; nil where none did.
  func advance(_ error: Errno?)
}
