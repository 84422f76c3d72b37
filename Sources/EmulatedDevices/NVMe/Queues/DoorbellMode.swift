/// How a driver's doorbells reach the controller.
enum DoorbellMode: String, Sendable {
  /// Clients may map the page of doorbells; the controller polls it.
  case mapped
  /// Each doorbell is an access that the controller is told of: over a descriptor where the client can, else
  /// by message.
  case trapped

  /// With how they are reached at best, for logs.
  var description: String { self == .trapped ? "trapped (ioregionfd)" : rawValue }
}
