/// The features that a driver can read and set, with their values after a reset.
///
/// Source: NVMe 1.4, section 5.21.1.
struct ControllerFeatures: Equatable {
  /// Arbitration: no limit to a burst.
  var arbitration: UInt32 = 0x7
  /// Power Management: power state 0.
  var powerManagement: UInt32 = 0
  /// Over and under temperature thresholds of the composite sensor, in kelvins.
  var overTemperature: UInt16 = 343
  var underTemperature: UInt16 = 0
  /// Error Recovery, of the namespaces where it is not 0.
  var errorRecovery: [UInt32: UInt32] = [:]
  /// Volatile Write Cache: whether writes may be kept back.
  var volatileWriteCache: UInt32 = 1
  /// Interrupt Coalescing.
  var interruptCoalescing: UInt32 = 0
  /// Vectors with Coalescing Disable set.
  var undelayedVectors: Set<UInt16> = []
  /// Write Atomicity Normal.
  var writeAtomicity: UInt32 = 0
  /// Asynchronous Event Configuration.
  var asynchronousEvents: UInt32 = 0
  /// Timestamp: milliseconds since 1970 that the driver has set, and when it did.
  var timestamp: UInt64 = 0
  var timestampSetAt: UInt64 = 0
  var timestampOrigin: UInt8 = 0
  /// Host Behavior Support: Advanced Command Retry Enable. No command is answered with a delay.
  var advancedCommandRetry: UInt8 = 0

  /// The temperature that the controller reports, in kelvins.
  static let temperature: UInt16 = 303
}
