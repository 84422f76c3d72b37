/// Carries out the accesses that arrive over descriptors: finds the part of the region by its user
/// data and runs the handler that answers messages, too.
///
/// Threads: confined to the loop of the endpoints that call it.
public protocol IORegionExecutor: AnyObject {
  /// Carries out one access.
  ///
  /// A handler's error has no place in the protocol: a read gives all-ones then, and a write is dropped.
  ///
  /// - Returns: what became of it. After `.later` the answer comes through
  ///   `IORegionEndpoint.respond(_:generation:)`, with the endpoint's generation at this call.
  func execute(_ command: IORegionCommand, from endpoint: any IORegionEndpoint) -> IORegionExecution

  /// Learns that an endpoint has closed by itself: its peer has gone, or broke the protocol.
  ///
  /// - Parameter reason: what the peer did wrong, for the log; nil when it just went.
  func endpointClosed(_ endpoint: any IORegionEndpoint, because reason: String?)
}

extension IORegionExecutor {
  /// Does nothing.
  public func endpointClosed(_ endpoint: any IORegionEndpoint, because reason: String?) {}
}
