/// Plans that a server has asked to be made anew, and that a vCPU must not go on without once the server has
/// answered it.
///
/// Threads: any.
protocol PendingReplans: AnyObject, Sendable {
  /// Whether there are any, or one is being made.
  var isPending: Bool { get }
  /// Returns once those that were asked for before have been made. Called with no lock held.
  func settle()
}
