/// How a queue pair rings its doorbells.
public enum NVMeDoorbells: String, Sendable, CaseIterable {
  /// Mapped where the device allows it, else by messages.
  case auto
  /// By stores to the device's page; refused where the device does not offer it.
  case mapped
  /// By a message for each, which nobody waits for.
  case trapped
  /// In memory of the driver, and by messages only where the device asks for them.
  ///
  /// Source: NVMe 1.4, section 7.13.
  case shadow
}
