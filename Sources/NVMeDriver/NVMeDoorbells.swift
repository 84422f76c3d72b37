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
  /// By commands on descriptors of their own, which carry the values and which nobody waits for; refused
  /// where the device does not offer them.
  case ioregionfd
  /// In memory of the driver, and by eventfds where the device asks for a ring; refused where the device
  /// does not offer them.
  case ioeventfd

  /// Whether the driver keeps the values in its own memory (Doorbell Buffer Config).
  var isShadowed: Bool { self == .shadow || self == .ioeventfd }
  /// Whether the device's page is to be mapped.
  var wantsMapping: Bool { self == .auto || self == .mapped }
}
