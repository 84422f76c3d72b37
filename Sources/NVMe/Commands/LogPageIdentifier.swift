/// Which log Get Log Page reads (LID).
///
/// Source: NVMe 1.4, figure 191.
@frozen
public struct LogPageIdentifier: RawRepresentable, Hashable, Sendable {
  /// The identifier's byte.
  public let rawValue: UInt8

  /// The log with this identifier.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Error Information.
  public static let errorInformation = LogPageIdentifier(rawValue: 0x01)
  /// SMART / Health Information.
  public static let health = LogPageIdentifier(rawValue: 0x02)
  /// Firmware Slot Information.
  public static let firmwareSlot = LogPageIdentifier(rawValue: 0x03)
  /// Changed Namespace List.
  public static let changedNamespaces = LogPageIdentifier(rawValue: 0x04)
  /// Commands Supported and Effects.
  public static let commandEffects = LogPageIdentifier(rawValue: 0x05)
}
