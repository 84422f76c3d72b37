/// How a driver's doorbells reach the controller.
enum DoorbellMode: String, Sendable {
  /// Clients may map the page of doorbells; the controller polls it.
  case mapped
  /// Each doorbell is an access that the controller is told of.
  case trapped
}
