/// What became of an access that arrived over a descriptor.
public enum IORegionExecution: Sendable {
  /// It is done. The data of its response, zero-extended; 0 for a write.
  case done(UInt64)
  /// The answer comes later through `IORegionEndpoint.respond(_:generation:)`.
  case later
  /// The sender may not send this: unknown user data, or an access that leaves its range. The endpoint
  /// says so in the log and closes.
  case refused(StaticString)
}
