/// What Get Features and Set Features are about (FID).
///
/// Source: NVMe 1.4, figure 271.
@frozen
public struct FeatureIdentifier: RawRepresentable, Hashable, Sendable {
  /// The identifier's byte.
  public let rawValue: UInt8

  /// The feature with this identifier.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Arbitration.
  public static let arbitration = FeatureIdentifier(rawValue: 0x01)
  /// Power Management.
  public static let powerManagement = FeatureIdentifier(rawValue: 0x02)
  /// Temperature Threshold.
  public static let temperatureThreshold = FeatureIdentifier(rawValue: 0x04)
  /// Error Recovery.
  public static let errorRecovery = FeatureIdentifier(rawValue: 0x05)
  /// Volatile Write Cache.
  public static let volatileWriteCache = FeatureIdentifier(rawValue: 0x06)
  /// Number of Queues.
  public static let queueCount = FeatureIdentifier(rawValue: 0x07)
  /// Interrupt Coalescing.
  public static let interruptCoalescing = FeatureIdentifier(rawValue: 0x08)
  /// Interrupt Vector Configuration.
  public static let interruptVectorConfiguration = FeatureIdentifier(rawValue: 0x09)
  /// Write Atomicity Normal.
  public static let writeAtomicity = FeatureIdentifier(rawValue: 0x0a)
  /// Asynchronous Event Configuration.
  public static let asynchronousEventConfiguration = FeatureIdentifier(rawValue: 0x0b)
  /// Timestamp.
  public static let timestamp = FeatureIdentifier(rawValue: 0x0e)
  /// Keep Alive Timer.
  public static let keepAliveTimer = FeatureIdentifier(rawValue: 0x0f)
  /// Host Behavior Support.
  public static let hostBehaviorSupport = FeatureIdentifier(rawValue: 0x16)
}
